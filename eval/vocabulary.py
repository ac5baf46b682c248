"""Words that tell in which language a programmer named things. Data only; `identifiers.py` reads it.

English: the parts of names most frequent in Python packages, and words of exercises, in their base forms. The other
lists are short: what has no word here is judged by its letters.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ENGLISH = _words(
    """
    abc abcdef able abort about above abs absolute abspath abstract abstractmethod acc accept access accessor account
    accumulate accuracy aclose acquire across act activation active actual adapter add addition additional address
    adjacent adjust advanced aenter aexit affinity after again against age agent agg aggregate aiter algo algorithm
    alias align alive all allclose allocated allow along alpha alphabet already also alt alternate alternative always
    amax ambiguous amount anagram analyze ancestor anchor and anext animal annotated annotation another ansi answer
    anti any anything apache api app appear append appendleft apple application applied applies appropriate approx
    approximate arange arbitrary arch architecture archive are area arg argmax argmin argparse argsort argument argv
    arm around arr array arrow asarray asc ascii asdict ask assert assign associated assume ast astimezone astype async
    asynchronous asyncio atleast atol atom atomic attach attempt attention attr attrgetter attribute audio auth
    authenticate author authority authorization auto autocommit automatic automatically aux available average avg avoid
    await axes axis back backend background backoff backslashreplace backup backward bad bal balance ball bank bar bare
    barrier base basename bash basic bat batch because been before begin beginning behavior behaviour being below best
    beta better between bfs big bill bin binary bincount binop bird bit bitwise black blank blob block blocksize blue
    board body bold bonus book bool boolean bootstrap boss both bottle bottom bound boundary bowl box bracket branch
    bread break broadcast broken bubble bucket budget buf buffer bufsize bug build built builtin bulk burger bus but
    buy bypass byte bytearray bytecode byteorder cache calc calculate calculator calendar call callback can cancel
    cancelled candidate candle candy cannot canonical canonicalize cap capacity capital capitalize capture car carry
    cart case casefold cash cast cat catalog catch categorical categories category caught cause ceil cell celsius
    center central cert certificate cfg chain change channel char character charset chdir cheapest check checkpoint
    checksum chess chicken child children chmod choice choose chr chunk circle circular city clamp class classification
    classifier classmethod classname clause clean cleanup clear cli click client climb clip clock clone close closure
    cloud cls cluster cmd cmdline cmp cnt code codec coerce coffee coin col collapse collate collatz collect collector
    colon color column com combination combine comm comma command commit common communicate community comp compact
    compare comparison compat compatibility compatible compilation compile complement complete complex component
    compose composite compound compress compressor computation compute con concat concatenate concrete concurrency
    concurrent condition conditional conf config configparser configuration configure confirm conflict conn connect
    connector consider consistency consistent console consonant const constant constrained constraint construct
    constructor consume cont contact contain content context contextlib contextmanager contiguous continuation continue
    continuous contrib control conv conversion convert cookie copied copies copy copyright core coro coroutine correct
    corresponding cos cosh cosine cost could couldn count countdown coupon course cov covariant cpu cpython create
    credentials critical cross csv ctime ctrl ctx ctypes cube cum cumsum cumulative cup cur curdir curl current cursor
    custom cut cutoff cwd cyan cycle cygwin cython daemon darwin data database dataclass dataset date datetime day dct
    dead debug debugger debugging dec decimal deck decl declaration declared decode decompose decompress decompressor
    decorate decorator decrease dedent deep deepcopy def default defaultdict deferred define definition deg degree del
    delattr delay delete delimiter delitem delta denom dense dep dependencies dependency dependent depending depends
    deposit deprecated deprecation depth deque derive desc descending describe description descriptor deserialize
    desired dest destination detach detail detect determine deterministic dev development device devnull dfs diag
    diagonal dialect dice dict dictionary did didn diff difference different digest digit dim dimension dimensional
    dinner dir direct directive directories directory dirname disable disallowed discard disconnect discount discussion
    disjoint disk disp dispatch display disposition dist distance distinct distribute div divide division divisor
    divmod doc docstring document documentation does doesn dog dollar dom domain don done door dot dotall dotted double
    down downcast download dp drain draw dress drink drive drop dropped drug dry dst dtd dtype due dummy dump dup
    duplicate duration during dynamic each eager ear easy echo edge edit editor effect effective egg either elapsed
    elem element elementwise elif ellipsis else email embed emit emitted employee empty emscripten enable enc encode
    encountered end endpoint endswith enforce engine enough ensure enter entity entries entry entrypoint enum enumerate
    env environ eof eos epoch eps epsilon equal equivalent err errno error escape estimate eta etag etc eval evaluate
    even event every everything evt exact exam example exc except excl exclude exclusive exe exec execute executor
    exhausted exist existent exit exp expand expandtabs expanduser expansion expect expense experimental expired
    expires explicit expm exponent export expose expression ext extend extension external extra extract eye face factor
    factorial fahrenheit fail failure fair fake fallback falling false family far fare fast fatal feature fee fetch few
    fget fib fibonacci field file filename fileno fileobj filepath filesystem filetype fill filter filterwarnings final
    finalize find findall finditer finfo fingerprint finish finite first fish fit fix fixture flag flat flatten flex
    flip float floor floordiv flow flush fmt fn fname fnmatch fold follow font foo footer for forbidden force foreign
    forever forget fork form format formatted formatter formatting forward found four frac fraction fragment frame
    framework free freeze frequency fresh from fromkeys fromtimestamp frozen frozenset fruit fsdecode fspath fstat full
    fullmatch fullname func function functional functools future game gamma gap garbage gas gateway gather gcd gen
    general generate generator generic get getattr getattribute getcwd getenv getitem getlist getmtime getstate getter
    getvalue gid gil git github give given glob global gnu going gold gone good google got gpu grade gradient graph
    gravity gray greater greatest green greet grid group groupby groupdict grp guard guess guest guide gzip had half
    hand handle happen hard has hasattr hash hashlib have hdr head heap height hello help here hero hex hexdigest
    hidden hide high highest hill hint history hit hobby hold home hook hop host hostname hot hotel hour house how
    however href html http httpx hub huggingface human hypotenuse ident identical identifier identify identity idna ids
    idx ignore ignorecase iinfo illegal imag image img immediately immutable impl implement implementation implicit
    import importlib impossible inc include inclusive income incompatible incomplete inconsistent incorrect increase
    increment incremental ind indent indentation independent index indicate indicator indices individual inet inf
    inference inferred infinite info information inherit inheritance ini init initial initialization initialize inject
    inline inner inp inplace input insecure insensitive insert inside inspect inst install installation instance
    instead instruction insufficient int integer integral intel intended interactive interest interface interleave
    intermediate internal interp interpolation interrupt intersect interval into inv invalid invalidate inventory
    inverse invert invoice invoke ior ipaddress ipv isabs isalnum isascii isatty isclass iscoroutinefunction isdigit
    isdir isdisjoint isfile isfinite isfunction isidentifier isinf isinstance iskeyword island islice islink islower
    isn isnan iso isoformat isolate isreg isspace issubclass issubset issue isupper item itemgetter itemsize iter
    iterate iterator iterdir itertools its itself java jinja job join joinpath json jump just keep keepends kernel key
    keyboard keyword kid kill kind king knapsack knight know known kwarg kwds lab label lambda lang language large
    largest last later latest latin launch lax layer layout lazy lcm lead leaf leap learning least leave left legacy
    legal len length less letter level lhs lib libraries library license like limit line linear lineno link linspace
    linux list listdir listen literal little live load loan loc local locale localhost localtime locate lock log logger
    logging logic logical login long longest look lookup loop loose loss lot low lowercase lowest lru lst lstat lstrip
    lucky luhn mac machine macos made magenta magic main maintainer major make makedirs maketrans malformed managed
    manager mandatory manifest manual many map mapped mapper mapping margin mark markdown markup mask mass master mat
    match math matmul matrices matrix max maximum maxlen maxsize maxsplit may maybe maze meal mean measure median
    medium meeting mem member memo memory memoryview merge message meta metaclass metadata metavar meth method metric
    mgr micro microsecond microsoft mid middle middleware might migration mime mimetype min minimal minlength minor
    minus minute mirror misc mismatch miss mix mixin mkdir mkdtemp mkstemp mock mod mode model modification modified
    modifier modify module modulo money monkey monotonic month more most mount mountain move movie mro msg mtime mul
    mult multi multiline multipart multiple multiplier multiprocessing must mutable mutually naive name namedtuple
    namelist namespace nan nargs narrow native natural nbytes ndarray ndim nearest necessary need neg negative neighbor
    neighbour neither net netloc netrc network never new newaxis newline next night node non nonce none nonlocal
    nonzero noop nor norm normal normalization normalize normcase normpath not note notebook nothing notify now nowait
    nth null nullcontext num number numeric numpy obj object obtain occurred occurrence octet odd off offline offset
    oid old omit omitted once one only onto opaque open openssl operand operate operator ops opt optim optimal
    optimization optimize optional ord ordinal org organization orig origin original other otherwise out outdated
    outfile output outside over overflow overlap overlapping overlay overload overridden override overwrite owed own
    pack package pad padded padding page paid pair pairwise palindrome pandas par paragraph parallel param parameter
    parametrize parent parse part partial partition pascal pass passthrough password past paste pat patch path pathlib
    pathname pathsep pattern pause pay payload pct pdf peak peek peer pen pending pep per percent perform performance
    perimeter period perm permanent permission permutation permute persistent person pet phone pick pickle pid pil pile
    pin pip pipe pipeline pivot pizza pkg place placeholder plain plan plant platform player please plugin plural plus
    png point policy poll poly polygon polynomial pool pop popen popitem popleft populate port pos position positional
    positive posix posixpath possible post postgresql potential pow ppc pprint pragma pre precedence precision
    precondition predicate prefer preferred prefetch prefix preload prep prepare prepend preprocess present preserve
    press pretty prev prevent preview previous price primary prime primitive principal print prior priority private
    prize probability probably problem proc proceed process processor prod produce product profile profit prog program
    progress project prompt prop propagate properties property protected proto protocol provide proxies proxy prune ptr
    pub public pull purchase pure purge push put puzzle pyc pypi pyproject pypy pytest python pytorch quadratic
    qualified quality qualname quantity que queen queries query question queue quick quiet quote quotient radd radius
    rain raise rand randint random randrange range rank rate rather ratio ravel raw reach read readinto readline readme
    readonly real realpath reason rec receive recent recognized recommended reconstruct record rect rectangle recurse
    recursive red redirect reduce reduction ref reference reflect refresh refund reg regex regexp register registry
    regression regular reject rel related relative release relevant reload relpath rem remainder remote removal remove
    removeprefix removesuffix rename render rent reorder rep repeat replace repo report repository representation req
    request require res reserved reset reshape resize resolution resolve resource resp response rest restart restore
    restrict result resume ret retries retrieve retry return returncode retval reuse rev reverse reversible revision
    rewrite rfc rfind rgba rhs rich right rindex ring river rjust rmdir rmtree rmul rng road robot role roll rollback
    roman room root ror rotate round route row rpartition rpow rsplit rstrip rsub rtruediv rule run runner running
    runtime rxor safe salary sale same sample sanitize sat satisfiable satisfied save scalar scale scan schedule schema
    scheme scipy scope score script search seat sec second secondary secret section secure security see seek seen seg
    select selector self semantic send sensitive sent sentence sentinel sep separate separator seq sequence sequential
    serial serialization serialize series serve service sess set setattr setdefault setitem setstate setter setting
    setup sha shape share shell shift ship shlex shop short shortest should shouldn show shuffle shutdown shutil side
    sieve sig sigma sign signal signature silence silent similar simple simplefilter simplify sin since single
    singleton singular site size skip skipped skipping slash sleep slice sliding slope slot slow slug small smallest
    snapshot sock socket soft software solution solve some something song soon sort source space span sparse spawn spec
    special specific specification specified specifier specify speed spiral split splitdrive splitext splitlines sql
    sqlalchemy sqlite sqrt square squeeze src ssh ssize ssl stable stack stacklevel stage stair stale stamp standalone
    standard star start startswith startup stat state static staticmethod statistics status std stderr stdin stdlib
    stdout stem step still stmt stock stop stopped stopping storage store str strategies strategy streak stream
    strerror strftime strict stride strip stripped strong struct structure student style sub subarray subclass
    subcommand subject submit submodule subprocess subsequence subsequent subset substring subtype success successfully
    such suf suffix suggested suitable sum summary super supplied supply support suppress sure swap switch sym symbol
    symbolic symlink symmetric sync syntax sys sysconfig system tab table tabulate tag tagged tail take taken tally tan
    tanh tar target task tax tcp team teardown tell temp temperature tempfile template temporal temporary tensor term
    terminal terminate test text textwrap tgt than that the their them then there therefore these thing third this
    those thread three threshold through throw ticket ties tile time timedelta timeout timestamp timezone tiny tip
    title tls tmp tmpdir tobytes today todo together tok token tokenize tol tolist toml too tool top torch total touch
    tower toy tqdm trace traceback track trailing train trans transaction transfer transform translate transport
    transpose traversal traverse treat tree triangle trie trigger trim trimmed trip triplet true truediv trunc truncate
    trust try tty tup tuple turn tweet twice twin two txt typ type typename typeshed tzinfo uid uint unable uname unary
    unauthorized unavailable unchanged undefined under underline underlying undo unescape unexpected unhandled unicode
    uniform uninstall union uniq unique unit unittest universal unix unknown unless unlink unnamed unordered unpack
    unprocessable unquote unrecognized unsafe unset unsigned unspecified unsupported until untouched unused unwrap
    unzip update upgrade upload upper uppercase urandom uri url urlencode urljoin urllib urlparse urlsplit usable usage
    use username using usr usually utc utf util utilities uuid val valid validate validator value var variable variance
    variant vec vector vehicle vendor ver verbose verbosity verification verify vertex vertices via video view vim
    violation virtual visible visit visitor visual void volume vote vowel wage wait walk wall wallet want warn was
    water way weak weakref weather web websocket week weight well were what wheel when where whether which while white
    whitespace whl whole wid width wildcard will win window winner with withdraw within without won word work world
    would wrap wrapped wrapper write writelines written wrong wss www xdg xff xml xor yaml year yellow yes yet yield
    you zero zfill zip zipfile zlib zone zoo zstandard zstd
    """
)
"""Base forms: endings such as -s, -ed, -ing are taken off before a word is looked up."""

CYRILLIC = _words(
    """
    avtor bally baza bolshe cena chas chastota chasy chelovek chetnoe chetnyy chisla chislo cikl cvet danniye dannye
    dannyh delitel deliteli dengi derevo dlina dni dobavit elementy faily faktorial familiya fayl funkciya funktsiya
    glubina god gody gorod goroda graf igra igrok igroki imena imya indeks karta kazhdyy khod klass kletka kletki kluch
    klyuch klyuchi kniga knigi kolichestvo kolvo konec konets koordinata lyudi maks maksimum massiv massivy matrica
    matritsa menshe mesyac mesyats minimum minuta nachalo naiti najti nastroyki nayti nazvanie nechetnoe nedelya nomer
    novoe novyy obem obhod obkhod ocenka ochered opisanie oshibka oshibki ostatok otrezok otsenka otvet otvety papka
    parol perebor peremennaya pervoe pervyy ploschad ploshchad poisk pole polnyy polzovatel polzovateli poschitat
    posledniy pozicia pozitsiya predmet predydushchiy privet proizvedenie prostoe proverit proverka pustoy puti ravno
    razmer raznost rebra rebro rezultat rezultaty rozhdeniya ryad schet schetchik schitat sekunda shag shagi shirina
    shkola simvol simvoly skorost sleduyushchiy sleduyushiy slova slovar slovo soobschenie soobshchenie sortirovat
    sortirovka sosed sosedi spiski spisok sredn srednee sredniy staryy stek stepen stoimost stolbec stolbets storona
    storony stroka stroki stroku summa summy tekst tekuschiy tekushchiy tochka tochki tovar tovary tretiy tsena tsikl
    tsvet udalit udar ugol ulica ulitsa uron uslovie uzel uzly vershina vershiny vesa vopros voprosy vozrast vrag
    vremya vse vtoroe vtoroy vvesti vvod vychislenie vychislit vysota vyvesti vyvod yacheyka zakaz zakazy zapis zapisi
    zapros zaprosy zapusk zhizn znachenie znacheniya
    """
)
"""Russian (some Ukrainian, Bulgarian) in Latin letters, as transliterated without signs."""

OTHER = _words(
    """
    aakaar aarambh agla agregar ajouter akshar aktuell altezza alto altura anahtar ancho anfang ank ant anterior antim
    anzahl arbol archivo arquivo ausgabe baslangic benutzer berechne berechnung betrag bhaag bitis boyut breite buscar
    cada cadena calcular calculer camino cantidad caracter caractere carattere chaine chaudai chave chercher chiave
    clave cle cliente colonna colonne columna coluna comeco compteur conjunto contador contagem couleur cuenta dann
    datei debut deger dernier dimensione dlugosc dugum durchschnitt edad eingabe eintraege eintrag eliminar encontrado
    ende ensemble entrada entree ergebnis erreur farbe fecha fehler feld felder fichier fila fim fin fine flaeche
    gaanth ganak gefunden genislik gesamt gewicht ginti grafo grenze groesse hauteur hijo hoehe idade indice inicio
    inizio insieme ist jodo kelime khoj klucz knoten kolumna koniec konto kul kunde kunden kunji laenge lambai largeur
    larghezza largura letra letras liczba licznik ligne limite linha lista listas liste longitud longueur lunghezza
    maan maior matriz mayor media menge menor mensagem mensaje minimum mittelwert mot mots moyenne naam nachricht
    naechste naechster nicht nodo noeud nombre nombres nome nomes nouveau nueva nuevo numero numeros oder ordenar
    ordner padre palabra palabras palavra palavras pankti parinaam parola parte partie pehla peso pichhla poczatek
    poids posicao posicion posizione pravishti precedent precio preco preis preise premier prezzo primero prix procurar
    promedio proximo pruefe pruefen puffer quantidade quantita quantite reihe reste resto resultado resultat riga
    risultato rozmiar saida salario salida samuh sankhya satir sayac sayi sayilar schluessel seema shabd shesh
    siguiente slowo soma somma somme sonuc sortiere spalte stambh stelle sthaan stringa successivo suche suchi suivant
    suma summe supprimer sutun szerokosc tabelle tableau tablica taille tamanho tamano teil teile texto toplam tri
    trouver ultima ultimo umar unchai und usuario utente utilisateur uzunluk vacio valeur valeurs valor valore valores
    vecino vetor vide voriger wartosc wenn wert werte wezel wiersz woerter wort wynik wysokosc yog yukseklik zaehler
    zahl zahlen zeichen zeile zeilen
    """
)
"""German, Spanish, French, Portuguese, Italian, Hindi, Turkish and Polish, without accents."""
