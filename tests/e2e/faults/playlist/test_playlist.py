from playlist import Playlist


def test_empty_playlist_plays_nothing():
    assert Playlist().play() is None


def test_plays_in_order():
    playlist = Playlist(["a", "b"])
    assert [playlist.play(), playlist.play(), playlist.play()] == ["a", "b", None]


def test_next_up_goes_first():
    playlist = Playlist(["a"])
    playlist.add("z", next_up=True)
    playlist.add("b")
    assert playlist.play() == "z"
    assert playlist.remaining() == 2


def test_back_returns_the_last_track():
    playlist = Playlist(["a", "b"])
    playlist.play()
    playlist.back()
    assert playlist.play() == "a"
