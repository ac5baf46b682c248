from router import match, resolve

ROUTES = [("/users", "users"), ("/users/{id}", "user"), ("/users/{id}/posts", "posts")]


def test_plain_path():
    assert match("/users/", "/users") == {}


def test_capture():
    assert match("/users/{id}", "/users/7") == {"id": "7"}


def test_resolve_plain():
    assert resolve(ROUTES, "/users") == ("users", {})


def test_resolve_captured():
    assert resolve(ROUTES, "/users/7/posts") == ("posts", {"id": "7"})


def test_not_found():
    assert resolve(ROUTES, "/about") == ("not_found", {})
