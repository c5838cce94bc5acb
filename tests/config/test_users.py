"""Passwords and names of the people who use the web interface."""

import unicodedata

import pytest

from config import users
from config.users import BCRYPT_COST, PasswordError, User, authenticate, hash_password, verify_password

CHEAP = 4


def test_hash_when_made_with_defaults_then_has_cost_twelve() -> None:
    stored = hash_password("correct horse battery")
    assert stored.startswith(f"$2b${BCRYPT_COST}$")
    assert BCRYPT_COST == 12
    assert verify_password("correct horse battery", stored)


def test_hash_when_made_twice_then_salts_differ() -> None:
    assert hash_password("correct horse battery", cost=CHEAP) != hash_password("correct horse battery", cost=CHEAP)


@pytest.mark.parametrize(
    "password", ["x" * 72 + "tail one", "é" * 40 + "tail one", "before\0after the nul", "🔑" * 30 + "a"]
)
def test_password_when_long_or_multibyte_or_with_nul_then_every_character_counts(password: str) -> None:
    stored = hash_password(password, cost=CHEAP)
    assert verify_password(password, stored)
    assert not verify_password(password[:-1] + "Z", stored)
    assert not verify_password(password[:-1], stored)


def test_password_when_typed_in_two_unicode_forms_then_is_the_same() -> None:
    stored = hash_password(unicodedata.normalize("NFC", "des cafés en été ✓"), cost=CHEAP)
    assert verify_password(unicodedata.normalize("NFD", "des cafés en été ✓"), stored)


def test_password_when_not_valid_unicode_then_is_wrong_not_an_error() -> None:
    assert not verify_password("\ud800 broken surrogate", hash_password("correct horse battery", cost=CHEAP))


@pytest.mark.parametrize("password", ["", "short", "elevenchars", "a" * 1025, "aaaaaaaaaaaaaa"])
def test_password_when_too_weak_or_too_long_then_is_refused_without_repeating_it(password: str) -> None:
    with pytest.raises(PasswordError) as caught:
        hash_password(password, cost=CHEAP)
    assert not password or password not in str(caught.value)


@pytest.mark.parametrize(
    "password",
    [
        "password12345678",
        "1234567890123456",
        "123456789123456789",
        "qwertyuiopasdfghjkl",
        "qwerty1234567890",
        "1q2w3e4r5t6y7u8i9o0p",
        "1qaz2wsx3edc4rfv",
        "qazwsxedcrfvtgb",
        "iloveyouiloveyou",
        "Passw0rd!Passw0rd!",
        "passwordpassword",
        "PASSWORD PASSWORD",
        "letmeinletmein2024",
        "abcabcabcabcabc",
        "abcdefghijklmnop",
        "zyxwvutsrqponmlk",
        "aaaaaaaaaaaaaaa1",
        "correcthorsebatterystaple",
        "Administrator2023!!",
        "superman-batman-1999",
        "welcome welcome 1",
        "tradebottradebot",
        "111111111111111",
        "monkeydragonmaster",
        "trustno1trustno1",
        "football-baseball",
        "987654321987654321",
        "00000000000000001",
    ],
)
def test_password_when_made_of_what_is_tried_first_then_is_refused(password: str) -> None:
    assert len(password) >= users.PASSWORD_CHARS_MIN
    assert users.password_fault(password) is not None


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery",
        "a long enough password",
        "vixen lemur cobalt",
        "my dog eats blue shoes",
        "elevenchars and four",
        "kD8-qPz1-vVw7-mN4x",
        "été à la mer du nord",
        "x9" * 2 + " dragon boat on lake",
        "p" * 4 + "lim plam plom " * 60,
    ],
)
def test_password_when_of_words_that_do_not_belong_together_then_is_accepted(password: str) -> None:
    assert users.password_fault(password) is None


def test_verify_when_hash_is_damaged_then_is_wrong() -> None:
    assert not verify_password("correct horse battery", "not a hash")


def test_authenticate_when_user_is_unknown_then_checks_a_hash_of_the_same_cost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []
    monkeypatch.setattr(users, "verify_password", lambda _password, stored: seen.append(stored) or True)
    known = User(name="ada", password_hash="$2b$12$known", role="admin")
    assert authenticate((known,), "nobody", "some password") is None
    assert authenticate((known,), "ada", "some password") == known
    assert [stored[:7] for stored in seen] == [f"$2b${BCRYPT_COST}$", "$2b$12$"]


def test_authenticate_when_password_is_wrong_then_is_none() -> None:
    known = User(name="ada", password_hash=hash_password("correct horse battery", cost=CHEAP), role="viewer")
    assert authenticate((known,), "ada", "correct horse batterz") is None
    assert authenticate((known,), "ada", "correct horse battery") == known


def test_user_when_shown_then_hides_the_hash() -> None:
    assert "SECRET" not in repr(User(name="ada", password_hash="SECRET", role="admin"))


@pytest.mark.parametrize("name", ["", "a", "Ada", "1ada", "ada lovelace", "a" * 33, "ada\n", "<b>x</b>"])
def test_user_name_when_malformed_then_is_named_with_what_is_allowed(name: str) -> None:
    assert "2 to 32 small letters" in (users.user_name_fault(name) or "")


@pytest.mark.parametrize("name", ["ada", "a.b-c_9", "op"])
def test_user_name_when_good_then_has_no_fault(name: str) -> None:
    assert users.user_name_fault(name) is None
