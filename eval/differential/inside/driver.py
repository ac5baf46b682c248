# pyright: basic
# ruff: noqa
"""Follows the code under test in one script (see `scripts.py`): records calls of the tests, replays inputs.

Runs inside the sandbox under the user's Python, standard library only; the text between the code and the tests.
It knows inputs and never what is expected of them: whatever the code under test does to it, all it could write
is an answer of its own making. Every record is one line `TOKEN {json}` on standard output.
"""


def _emend_driver(task):
    import enum
    import functools
    import inspect
    import io
    import itertools
    import json
    import os
    import re
    import signal
    import sys
    import time
    import types

    names = sys.modules["__main__"].__dict__
    out = os.dup(1)
    LIMIT_ITEMS, LIMIT_DEPTH, LIMIT_STREAM, LIMIT_PRINTED = 3000, 40, 300, 4000

    class TooLarge(Exception):
        pass

    class Timeout(BaseException):
        pass

    def tell(**record):
        left = memoryview(("\n" + task["token"] + " " + json.dumps(record) + "\n").encode())
        while left:
            left = left[os.write(out, left) :]

    def own(kind):
        return getattr(kind, "__module__", "") == "__main__"

    class Encoder:
        """Values as JSON by their built-in base types; what the value itself answers is not asked."""

        def __init__(self, known=None):
            self.known = {} if known is None else known
            self.open = []
            self.items = 0

        def __call__(self, value):
            self.items += 1
            if self.items > LIMIT_ITEMS or len(self.open) > LIMIT_DEPTH:
                raise TooLarge
            kind = type(value)
            if value is None or kind is bool:
                return value
            if issubclass(kind, enum.Enum):
                return {"x": [kind.__name__, str(value)]}
            if issubclass(kind, int):
                return int(value) if -(2**53) < int(value) < 2**53 else {"i": hex(int(value))}
            if issubclass(kind, float):
                value = float.__add__(value, 0.0)
                return value if value - value == 0 else {"f": float.__repr__(value)}
            if kind is complex and not value.imag:  # equal to its real part
                return self(value.real)
            if issubclass(kind, str):
                return str.__add__("", value)
            if issubclass(kind, (bytes, bytearray)):
                return {"b": bytes(value).hex()}
            if id(value) in self.known:
                return {"r": self.known[id(value)]}
            if id(value) in self.open:
                return {"x": ["cycle", str(len(self.open) - self.open.index(id(value)))]}
            self.open.append(id(value))
            try:
                return self.compound(value, kind)
            finally:
                self.open.pop()

        def compound(self, value, kind):
            if issubclass(kind, list):
                return [self(item) for item in list.__iter__(value)]
            if issubclass(kind, tuple):
                return {"t": [self(item) for item in tuple.__iter__(value)]}
            if issubclass(kind, dict):
                return {"d": [[self(k), self(v)] for k, v in dict.items(value)]}
            if issubclass(kind, (set, frozenset)):
                listed = (set if issubclass(kind, set) else frozenset).__iter__(value)
                return {"s": [self(item) for item in listed]}
            if kind.__module__ == "collections" and kind.__name__ == "deque":
                return {"q": [self(item) for item in value]}
            if own(kind):
                return {"o": [kind.__name__, self.attributes(value, kind)]}
            if issubclass(kind, (types.FunctionType, type)):
                return {"x": ["callable", getattr(value, "__name__", "")]}
            return {"x": [kind.__name__, re.sub(r" at 0x[0-9a-f]+", "", repr(value))[:500]]}

        def attributes(self, value, kind):
            found = dict(getattr(value, "__dict__", {}))
            for base in kind.__mro__:
                slots = base.__dict__.get("__slots__", ())
                for name in (slots,) if isinstance(slots, str) else slots:
                    if hasattr(value, name):
                        found[name] = getattr(value, name)
            return [[name, self(item)] for name, item in sorted(found.items())]

    def settled(value):
        """Coroutines awaited, iterators (bounded) made lists."""
        if inspect.iscoroutine(value):
            import asyncio

            return asyncio.run(value), False
        if hasattr(type(value), "__next__") and not own(type(value)):
            return list(itertools.islice(value, LIMIT_STREAM)), True
        return value, False

    # --- recording

    def record():
        seen = {"steps": 0}
        known, kept = {}, []
        script = names.get("__file__")

        def from_tests():
            frame = sys._getframe(2)
            return frame.f_code.co_filename == script and frame.f_lineno >= task["from"]

        def called(function, of, name, arguments, keywords, made=None):
            if seen["steps"] >= task["calls"]:
                return function(*arguments, **keywords)
            number = seen["steps"]
            seen["steps"] += 1
            step = {"step": number, "of": of, "name": name, "raised": "", "makes": False}
            own_arguments = arguments if made is None and not (isinstance(of, dict)) else arguments[1:]
            try:
                step["args"] = [Encoder(known)(value) for value in own_arguments]
                step["kwargs"] = [[key, Encoder(known)(value)] for key, value in keywords.items()]
            except TooLarge:
                step["args"] = None
            try:
                result = function(*arguments, **keywords)
                built = made if made is not None else result
                if own(type(built)) and not isinstance(built, enum.Enum) and id(built) not in known:
                    known[id(built)] = number
                    kept.append(built)
                    step["makes"] = True
                return result
            except Exception as error:
                step["raised"] = type(error).__name__
                raise
            finally:
                tell(**step)

        def wrapped(function, of=None):
            @functools.wraps(function)
            def recorded(*arguments, **keywords):
                if not from_tests():
                    return function(*arguments, **keywords)
                owner = of
                if of == "self":
                    if id(arguments[0]) not in known:
                        return function(*arguments, **keywords)
                    owner = {"r": known[id(arguments[0])]}
                return called(function, owner, function.__name__, arguments, keywords)

            return recorded

        def wrapped_init(kind, function):
            @functools.wraps(function)
            def __init__(self, *arguments, **keywords):
                if type(self) is not kind or not from_tests():
                    return function(self, *arguments, **keywords)
                return called(function, None, kind.__name__, (self, *arguments), keywords, self)

            return __init__

        def wrap_class(kind):
            for name, member in list(vars(kind).items()):
                if isinstance(member, types.FunctionType) and name not in ("__init__", "__new__", "__del__"):
                    setattr(kind, name, wrapped(member, "self"))
                elif isinstance(member, staticmethod):
                    setattr(kind, name, staticmethod(wrapped(member.__func__, kind.__name__)))
            plain = kind.__new__ is object.__new__
            if plain and (isinstance(kind.__init__, types.FunctionType) or kind.__init__ is object.__init__):
                kind.__init__ = wrapped_init(kind, kind.__init__)

        for name, value in list(names.items()):
            if name.startswith("_emend") or not own(value):
                continue
            if isinstance(value, type) and not issubclass(value, (enum.Enum, BaseException)):
                wrap_class(value)
            elif isinstance(value, types.FunctionType) or hasattr(value, "__wrapped__"):
                names[name] = wrapped(value)

    # --- replaying

    def decode(value, made):
        if isinstance(value, list):
            return [decode(item, made) for item in value]
        if not isinstance(value, dict):
            return value
        ((tag, inner),) = value.items()
        if tag == "r":
            return made[inner]
        if tag == "t":
            return tuple(decode(item, made) for item in inner)
        if tag == "s":
            return {decode(item, made) for item in inner}
        if tag == "d":
            return {decode(k, made): decode(v, made) for k, v in inner}
        if tag == "i":
            return int(inner, 16)
        return float(inner) if tag == "f" else bytes.fromhex(inner)

    def answer(step, made, printed):
        of, name = step["of"], step["name"]
        if isinstance(of, dict):
            target = getattr(made[of["r"]], name)
        else:
            target = names[name] if of is None else getattr(names[of], name)
        arguments = [decode(value, made) for value in step["args"]]
        keywords = {key: decode(value, made) for key, value in step["kwargs"]}
        result, streamed = settled(target(*arguments, **keywords))
        made.append(result)
        if of is None and isinstance(target, type):
            return None
        if streamed:
            return {"g": Encoder()(result)}
        if result is None:
            changed = [Encoder()(a) for a in arguments if isinstance(a, (list, dict, set))]
            return {"n": [changed, printed.getvalue()[:LIMIT_PRINTED]]}
        return Encoder()(result)

    def one(steps):
        """What each step answers; a step that raises is the last."""
        made, answers = [], []
        for step in steps:
            sys.stdout = printed = io.StringIO()
            try:
                answers.append(answer(step, made, printed))
            except TooLarge:
                answers.append({"large": 1})
                break
            except (Exception, SystemExit) as error:
                answers.append({"e": type(error).__name__})
                break
        return answers

    def expired(*_):
        raise Timeout

    def replay():
        signal.signal(signal.SIGVTALRM, expired)
        begun = time.process_time()
        screen = sys.stdout, sys.stderr
        for number, steps in task["inputs"]:
            tell(begin=number)
            at = time.process_time()
            if at - begun > task["seconds"]:
                break
            try:
                signal.setitimer(signal.ITIMER_VIRTUAL, task["each"], task["each"])
                answers = one(steps)
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            except Timeout:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
                answers = [{"timeout": 1}]
            sys.stdout, sys.stderr = screen
            tell(number=number, answers=answers)
            if answers == [{"timeout": 1}] and task["stop"]:
                break

    record() if task["mode"] == "record" else replay()
