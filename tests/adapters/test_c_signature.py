"""Declarations of C callbacks, as text and as cffi's types."""

from __future__ import annotations

import cffi
import pytest

from penstock.adapters import from_c_callback
from penstock.adapters.c_copies import answer, described
from penstock.adapters.c_signature import parse, signature_of
from penstock.errors import Misuse

POINTER = ("pointer", 0, 0)


@pytest.mark.parametrize(
    ("text", "kinds", "names"),
    [
        ("void()", [], []),
        ("void(void)", [], []),
        ("void (*)(int);", [("signed", 32, 0)], [None]),
        ("void (*on_event)(int code)", [("signed", 32, 0)], ["code"]),
        ("void(unsigned)", [("unsigned", 32, 0)], [None]),
        ("void(long unsigned int n)", [("unsigned", 64, 0)], ["n"]),
        ("void(long long)", [("signed", 64, 0)], [None]),
        ("void(signed char c, short int s)", [("signed", 8, 0), ("signed", 16, 0)], ["c", "s"]),
        ("void(size_t, ssize_t)", [("unsigned", 64, 0), ("signed", 64, 0)], [None, None]),
        ("void(float x, double y)", [("float", 32, 0), ("double", 64, 0)], ["x", "y"]),
        ("void(bool, _Bool b)", [("bool", 8, 0)] * 2, [None, "b"]),
        ("void(enum color c)", [("signed", 32, 0)], ["c"]),
        ("void(struct event *event, unknown_t *other)", [POINTER] * 2, ["event", "other"]),
        ("void(const char *text, char const *more)", [("text", 0, 0)] * 2, ["text", "more"]),
        ("void(char *a, const char **b, char *const c)", [POINTER] * 3, ["a", "b", "c"]),
        ("void(const unsigned char *data)", [POINTER], ["data"]),
        ("void(int values[4])", [POINTER], ["values"]),
        ("void(int _a, int a_t, int Complex)", [("signed", 32, 0)] * 3, ["_a", "a_t", "Complex"]),
    ],
)
def test_what_is_declared_is_read(text, kinds, names):
    signature = parse(text)
    assert described(signature, None) == kinds
    assert [parameter.name for parameter in signature.parameters] == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("int", "no function's declaration"),
        ("void(int, ...)", "variable number"),
        ("void(event_t event)", "type 'event_t', which is not known"),
        ("void(struct event e)", "passes a struct event by value"),
        ("void(long double x)", "'long double'"),
        ("void(int a, int a)", "the same name"),
        ("void(void (*inner)(int))", "itself a function"),
        ("void(int a b)", "cannot be understood at 'b'"),
        ("(int)", "lacks the result's type"),
        ("void(int,)", "lacks a parameter's type"),
        ("void(int @)", "has '@' in it"),
        ("void(double complex)", "'complex' where the parameter's name would be"),
        ("void(double _Complex, int a)", "'_Complex' where"),
        ("void(float _Complex)", "'_Complex' where"),
        ("void(unsigned __int128, int b)", "'__int128' where"),
        ("void(int _Atomic)", "'_Atomic' where"),
        ("void(unsigned float)", "'float' where"),
        ("void(short double)", "'short double', which is not known"),
        ("void(long bool)", "'bool' where"),
        ("void(int void)", "'void' where"),
        ("void(unsigned size_t)", "'size_t' where"),
        ("void(int struct s)", "'struct' where"),
        ("void(char *while)", "'while' where"),
        ("void(_Complex double z)", "'double' where"),
        ("void(_Atomic int a)", "'int' where"),
        ("void(long char)", "'long char', which is not known"),
        ("void(short long x)", "'short long', which is not known"),
        ("void(signed unsigned)", "'signed unsigned', which is not known"),
        ("void(long long long)", "'long long long', which is not known"),
        ("void(int int)", "'int int', which is not known"),
        ("void(__int128 a)", "'__int128', which is not known"),
        ("double complex(int)", "cannot be understood at 'complex'"),
        ("who(int)", "type 'who'"),
        (3, "no declaration of a C callback"),
        (None, "no declaration of a C callback"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(text, message):
    with pytest.raises(Misuse, match=message):
        from_c_callback(text)


def test_types_of_cffi_are_read():
    ffi = cffi.FFI()
    ffi.cdef("""
        typedef unsigned int handle_t;
        typedef struct { int x; } point;
        enum color { RED, GREEN };
        typedef int (*event_fn)(handle_t h, char *text, double d, enum color c, point *p, bool b);
        typedef void (*by_value)(point p);
        typedef void (*variadic)(int n, ...);
    """)
    signature = signature_of(ffi.typeof("event_fn"))
    assert described(signature, {1: "\0"}) == [
        ("unsigned", 32, 0),
        ("text", 0, 0),
        ("double", 64, 0),
        ("unsigned", 32, 0),
        POINTER,
        ("bool", 8, 0),
    ]
    assert signature.result.kind == ("signed", 32, 0)
    for name in ("by_value", "variadic"):
        with pytest.raises(Misuse):
            signature_of(ffi.typeof(name))
    with pytest.raises(Misuse, match="no function's type"):
        signature_of(ffi.typeof("int"))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ("A = 0x100000001LL, B = 1", ("unsigned", 64, 0)),
        ("A = 0xFFFFFFFFU", ("unsigned", 32, 0)),
        ("A = -1, B = 0x7FFFFFFF", ("signed", 32, 0)),
        ("A = -1, B = 0x80000000LL", ("signed", 64, 0)),
        ("A = -0x80000001LL", ("signed", 64, 0)),
    ],
)
def test_enums_of_cffi_are_as_wide_as_their_values(values, kind):
    ffi = cffi.FFI()
    ffi.cdef(f"typedef enum {{ {values} }} wide; typedef void (*wide_fn)(wide value, void *user);")
    assert ffi.sizeof("wide") * 8 == kind[1]
    signature = signature_of(ffi.typeof("wide_fn"))
    assert described(signature, None) == [kind, POINTER]
    highest = max(ffi.typeof("wide").elements)
    with from_c_callback(ffi.typeof("wide_fn")) as callback:
        callback.cdata(ffi)(highest, ffi.NULL)
        assert callback.get() == (highest, 0)


def test_lengths_are_counted_in_units():
    signature = parse("void(const double *v, size_t n, void *raw, int m, struct s *s, char **p)")
    copied = described(signature, {"v": "n", "raw": 3, 5: "n"})
    assert copied[0] == ("bytes", 1, 8)
    assert copied[2] == ("bytes", 3, 1)
    assert copied[5] == ("bytes", 1, 8)
    with pytest.raises(Misuse, match="how large one 'struct s' is"):
        described(signature, {"s": "n"})


def test_a_text_that_is_none_stays_a_number():
    assert described(parse("void(const char *raw)"), {"raw": None}) == [POINTER]


@pytest.mark.parametrize(
    ("text", "value", "register"),
    [
        ("void()", None, 0),
        ("int()", None, 0),
        ("int()", -1, 2**64 - 1),
        ("unsigned()", 2**32 - 1, 2**32 - 1),
        ("bool()", True, 1),
        ("void *()", 2**64 - 1, 2**64 - 1),
        ("double()", 1, 0x3FF0000000000000),
        ("float()", 1.5, 0x3FC00000),
    ],
)
def test_answers_are_what_the_register_holds(text, value, register):
    assert answer(parse(text), value, "returns") == register


@pytest.mark.parametrize(
    ("text", "value"),
    [("void()", 0), ("bool()", 2), ("unsigned()", -1), ("double()", "x"), ("float()", 1e300)],
)
def test_answers_that_cannot_be_are_refused(text, value):
    with pytest.raises(Misuse, match="returns="):
        answer(parse(text), value, "returns")
