"""Personal data that is nobody's, in many formats and with valid check digits, and what looks like it and is none.

For benchmarks/personal_data.py. The names are written here and not taken from the list that the guard knows.
"""

import random
import re
import string
from collections.abc import Callable

import phonenumbers
from stdnum import iban, luhn
from stdnum.de import idnr
from stdnum.es import dni
from stdnum.fr import nir
from stdnum.it import codicefiscale

REGIONS = ("US", "GB", "DE", "FR", "ES", "IT")


def words(listed: str) -> tuple[str, ...]:
    """Return listed words."""
    return tuple(listed.split())


FIRST = words(
    """
    Emily Oliver Hannah Lucas Chloé Étienne Mathilde Jürgen Anneliese Björn Giulia Alessandro Lucía Alejandro Rafael
    Inês Katarzyna Wojciech Agnieszka Oluwaseun Chinedu Amara Kwame Priya Rahul Ananya Mohammed Fatima Yusuf Aisha
    Wei Mei Hiroshi Yuki Min-jun Nguyen Siobhan Declan Fiona Callum Gwendolyn Theodore Beatrice Harriet Stuart
    Tamara Dmitri Svetlana Olena Mehmet Elif Leila Noor Mateo Valentina Camila Thiago Ingrid Lars Freya Sven Anouk
    Pieter Zsófia
    """
)
LAST = words(
    """
    Hartley Whitcombe Okafor Adebayo Mensah Nkrumah Lindqvist Sørensen Müller Schröder Baumgartner Lefèvre Dubois
    Moreau Rossi Esposito García Fernández Quintero Almeida Kowalski Nowak Petrenko Volkov Yılmaz Demir Haddad
    Rahman Sharma Iyer Banerjee Nakamura Tanaka Zhang Chen Park Pham O'Connor MacLeod Fitzgerald Pemberton Ashworth
    Thornbury Castellanos van_Dijk de_la_Cruz Visser Horváth Novák Ivanova Kaplan Goldberg Abernathy Weatherby
    Stapleton Underhill Vandermeer
    """
)
STREETS = words(
    """
    Maple Elm Victoria Church Station Mill Kingsway Orchard Highfield Lakeview Sycamore Juniper
    """
)
TOWNS = ("Springfield IL 62704", "Portland OR 97205", "Austin TX 73301", "Boulder CO 80302")
DOMAINS = (
    "example.com",
    "mail.example.org",
    "example.co.uk",
    "uni-beispiel.de",
    "correo.example.es",
    "sub.firma.example.net",
)


def digits(chance: random.Random, n: int) -> str:
    """Return n digits."""
    return "".join(chance.choice(string.digits) for _ in range(n))


def signs(chance: random.Random, n: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    """Return n letters or digits, of both kinds."""
    return "".join(chance.choice(alphabet) for _ in range(n - 2)) + chance.choice("23456789") + chance.choice("abcdef")


def full_name(chance: random.Random) -> str:
    """Return a first and a last name, sometimes with an initial."""
    middle = f" {chance.choice(string.ascii_uppercase)}." if chance.random() < 0.15 else ""
    return f"{chance.choice(FIRST)}{middle} {chance.choice(LAST)}".replace("_", " ")


def a_mail(chance: random.Random) -> tuple[str, str]:
    """Return a sentence and a mail address."""
    first, last = (re.sub(r"[^a-z]", "", chance.choice(names).lower()) or "kim" for names in (FIRST, LAST))
    local = chance.choice(
        (f"{first}.{last}", f"{first[0]}{last}{digits(chance, 2)}", f"{first}_{last}", f"{first}+news", first)
    )
    domain = chance.choice(DOMAINS)
    item = chance.choice(
        (f"{local}@{domain}",) * 5 + (f"{local.upper()}@{domain}", f"{local} (at) {domain.replace('.', ' (dot) ')}")
    )
    return chance.choice(
        ("Write to {} for details.", "<{}>", "mailto:{}", "It was sent by {}, she said.", "({})")
    ), item


def a_phone(chance: random.Random) -> tuple[str, str]:
    """Return a sentence and a phone number that its country's plan holds."""
    region = chance.choice(REGIONS)
    kind = chance.choice((phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE))
    example = phonenumbers.format_number(
        phonenumbers.example_number_for_type(region, kind), phonenumbers.PhoneNumberFormat.NATIONAL
    )
    example = re.sub(r"\D", "", example)
    number = None
    while number is None or not phonenumbers.is_valid_number(number):
        number = phonenumbers.parse(example[:-4] + digits(chance, 4), region)
    formats = phonenumbers.PhoneNumberFormat
    style = chance.choice((formats.INTERNATIONAL, formats.NATIONAL, formats.E164, "dots", "dashes", "bare"))
    national = phonenumbers.format_number(number, formats.NATIONAL)
    if style == "bare":
        return chance.choice(("Call me on {} tonight.", "My mobile is {}.", "Tel: {}", "text {} please")), re.sub(
            r"\D", "", national
        )
    if style in {"dots", "dashes"}:
        item = re.sub(r"[ ()-]+", "." if style == "dots" else "-", national).strip(".-")
    else:
        item = phonenumbers.format_number(number, style)
    return chance.choice(("Call {} now.", "Her number is {}, he said.", "Phone: {}", "Reach us at {}.", "({})")), item


def a_card(chance: random.Random) -> tuple[str, str]:
    """Return a sentence and a card number with Luhn's sum."""
    prefix, length = chance.choice(
        (("4", 16), ("51", 16), ("2221", 16), ("34", 15), ("37", 15), ("6011", 16), ("36", 14), ("3530", 16))
    )
    body = prefix + digits(chance, length - len(prefix) - 1)
    number = body + luhn.calc_check_digit(body)
    groups = {16: (4, 4, 4, 4), 15: (4, 6, 5), 14: (4, 6, 4)}[length]
    parts = [number[sum(groups[:i]) : sum(groups[: i + 1])] for i in range(len(groups))]
    return chance.choice(
        ("Charge {} please.", "card no. {} expires soon", "He paid with {}.", "{}", "visa:{}")
    ), chance.choice((" ", "-", "")).join(parts)


def an_iban(chance: random.Random) -> tuple[str, str]:
    """Return a sentence and an account number with its check digits."""
    while True:
        country, bban = chance.choice(
            (
                ("DE", digits(chance, 18)),
                ("GB", "WEST" + digits(chance, 14)),
                ("NL", "ABNA" + digits(chance, 10)),
                ("AT", digits(chance, 16)),
                ("PL", digits(chance, 24)),
                ("CH", digits(chance, 17)),
                ("IE", "AIBK" + digits(chance, 14)),
            )
        )
        number = country + iban.calc_check_digits(f"{country}00{bban}") + bban
        if iban.is_valid(number):
            break
    item = chance.choice(
        (number, iban.format(number), iban.format(number, "-"), number.lower(), iban.format(number).lower())
    )
    return chance.choice(
        ("Pay into {} by Friday.", "IBAN: {}", "The account {} was closed.", "{}", "iban {}, thanks")
    ), item


def a_national_id(chance: random.Random) -> tuple[str, str]:
    """Return a sentence and a national number that is valid in its country."""
    which = chance.choice(("US", "GB", "DE", "FR", "ES", "IT"))
    if which == "US":
        area = chance.choice([n for n in range(1, 900) if n != 666])
        number = f"{area:03}-{chance.randint(1, 99):02}-{chance.randint(1, 9999):04}"
        spoken = chance.random() < 0.3
        return (
            ("His social security number is {}.", number.replace("-", " "))
            if spoken
            else (chance.choice(("SSN {}", "It read {}.")), number)
        )
    if which == "GB":
        number = chance.choice(("AB", "JK", "LM", "PR", "WX")) + digits(chance, 6) + chance.choice("ABCD")
        spaced = " ".join((number[:2], number[2:4], number[4:6], number[6:8], number[8:]))
        return chance.choice(("NI number {}", "It read {}.", "national insurance: {}")), chance.choice((number, spaced))
    if which == "ES":
        body = digits(chance, 8)
        letter = dni.calc_check_digit(body)
        return chance.choice(("DNI {}", "It read {}.")), chance.choice((f"{body}{letter}", f"{body}-{letter}"))
    if which == "FR":
        born = f"{chance.choice('12')}{chance.randint(30, 99)}{chance.randint(1, 12):02}"
        body = f"{born}{chance.randint(1, 95):02}{chance.randint(1, 990):03}{chance.randint(1, 999):03}"
        number = body + nir.calc_check_digits(body)
        spaced = " ".join((number[0], number[1:3], number[3:5], number[5:7], number[7:10], number[10:13], number[13:]))
        return chance.choice(("Sécurité sociale : {}", "It read {}.")), chance.choice((number, spaced))
    if which == "IT":
        while True:
            body = (
                signs(chance, 8, "BCDFGLMNPRSTVZ")[:6]
                + f"{chance.randint(40, 99)}{chance.choice('ABCDEHLMPRST')}{chance.randint(1, 28):02}H501"
            )
            number = body + codicefiscale.calc_check_digit(body)
            if codicefiscale.is_valid(number):
                return chance.choice(("codice fiscale {}", "It read {}.")), number
    while True:
        number = str(chance.randint(1, 9)) + digits(chance, 10)
        number = number[:10] + idnr.mod_11_10.calc_check_digit(number[:10])
        if idnr.is_valid(number):
            break
    return chance.choice(("Steuer-ID {}", "Steueridentifikationsnummer: {}")), chance.choice(
        (number, idnr.format(number))
    )


def a_secret(chance: random.Random) -> tuple[str, str]:
    """Return a sentence and a password, key or token."""
    upper = string.ascii_uppercase + string.digits
    keys = (
        f"AKIA{signs(chance, 18, upper)[:16]}",
        f"ghp_{signs(chance, 36)}",
        f"github_pat_{signs(chance, 40)}",
        f"sk-proj-{signs(chance, 40)}",
        f"xoxb-{digits(chance, 11)}-{signs(chance, 24)}",
        f"AIza{signs(chance, 35)}",
        f"sk_live_{signs(chance, 24)}",
        f"eyJ{signs(chance, 20)}.eyJ{signs(chance, 40)}.{signs(chance, 30)}",
        f"glpat-{signs(chance, 20)}",
        f"hf_{signs(chance, 34)}",
        f"-----BEGIN RSA PRIVATE KEY-----\n{signs(chance, 64)}\n-----END RSA PRIVATE KEY-----",
    )
    if chance.random() < 0.6:
        return chance.choice(
            ("The key is {} for now.", "export KEY={}", "{}", "it printed {} in the log")
        ), chance.choice(keys)
    word = chance.choice(("dragon", "Summer", "monkey", "Passw0rd", "qwerty", "tr0ub4dor"))
    password = word + chance.choice(("!", "#", "_", "")) + digits(chance, chance.randint(1, 4))
    return chance.choice(
        ("my password is {}.", "password: {}", "pwd={}", 'the passphrase was "{}"', "Passwort: {}")
    ), password


def a_name(chance: random.Random) -> tuple[str, str]:
    """Return a sentence and the name of a person."""
    name = full_name(chance)
    first, last = name.split()[0], name.split(" ", 1)[1]
    return chance.choice(
        (
            ("My name is {} and I need help.", name),
            ("Dear {}, we have your letter.", first),
            ("Dear Mr {}, we have your letter.", last),
            ("Kind regards, {}.", name),
            ("I spoke with {} on Monday.", name),
            ("The letter was for {}.", name),
            ("Mrs {} has left.", last),
            ("Customer: {}", name),
            ("hi, i'm {} from accounts.", first),
            ("Dr. {} will see you.", last),
            ("{} did not reply to us.", name),
            ("my name is {}.", name.lower()),
            ("Ich heiße {}.", name),
            ("We met {} at the station.", name),
        )
    )


def an_ip(chance: random.Random) -> tuple[str, str]:
    """Return a sentence and a network address."""
    four = ".".join(str(chance.randint(1, 254)) for _ in range(4))
    while four.startswith(("127.", "22", "23")):
        four = ".".join(str(chance.randint(1, 254)) for _ in range(4))
    six = ":".join(f"{chance.randint(1, 65535):x}" for _ in range(8))
    short = f"2001:db8::{chance.randint(1, 65535):x}:{chance.randint(1, 65535):x}"
    return chance.choice(
        ("Login from {} failed.", "host {}, port 22", "[{}]", "It came from {}.", "ip={}")
    ), chance.choice((four, four, four, six, short))


def an_address(chance: random.Random) -> tuple[str, str]:
    """Return a sentence and a postal address."""
    number, street, town = chance.randint(1, 250), chance.choice(STREETS), chance.choice(TOWNS).rsplit(" ", 2)
    area, end = chance.choice(("SW", "M", "LS", "OX", "EH")), chance.choice(("AB", "QD", "XE"))
    code = f"{area}{chance.randint(1, 9)} {chance.randint(1, 9)}{end}"
    kind = chance.choice(("Street", "Road", "Avenue", "Lane", "Drive", "St", "Rd", "Close"))
    item = chance.choice(
        (
            f"{number} {street} {kind}, {town[0]}, {town[1]} {town[2]}",
            f"{number} {street} {kind}",
            f"{number}{chance.choice('AB')} {street} {kind}, London {code}",
            f"Flat {chance.randint(1, 9)}, {number} {street} {kind}, Leeds {code}",
            f"{number} N. {street} {kind}, Apt {chance.randint(1, 40)}, {town[0]}, {town[1]} {town[2]}",
            f"Hauptstraße {number}, 10115 Berlin",
            f"Lindenweg {number}a, 50667 Köln",
            f"Goethestr. {number}",
            f"{number} rue de la République, 69002 Lyon",
            f"{number} bis, avenue Victor Hugo, 75016 Paris",
            f"Calle Mayor, {number}, 28013 Madrid",
            f"Via Garibaldi {number}, 00153 Roma",
            f"P.O. Box {number}",
        )
    )
    return chance.choice(
        ("She lives at {} now.", "Send it to {}.", "Address: {}", "The parcel went to {}, he said.", "ship to {}")
    ), item


def a_birth_date(chance: random.Random) -> tuple[str, str]:
    """Return a sentence and a date of birth."""
    day, month, year = chance.randint(1, 28), chance.randint(1, 12), chance.randint(1930, 2010)
    name = (
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    )[month - 1]
    item = chance.choice(
        (
            f"{day} {name} {year}",
            f"{name} {day}, {year}",
            f"{day:02}/{month:02}/{year}",
            f"{year}-{month:02}-{day:02}",
            f"{day}.{month}.{year}",
            f"{day}th of {name} {year}",
            f"{name[:3]} {day} {year}",
            f"{month}/{day}/{year % 100:02}",
        )
    )
    return chance.choice(
        (
            "He was born on {} in Leeds.",
            "DOB: {}",
            "date of birth {}",
            "Her birthday is {}.",
            "geboren am {}",
            "née le {} à Lyon",
            "Birthdate: {}",
            "born {}",
        )
    ), item


MAKERS: dict[str, Callable[[random.Random], tuple[str, str]]] = {
    "mail": a_mail,
    "phone": a_phone,
    "card": a_card,
    "iban": an_iban,
    "national_id": a_national_id,
    "secret": a_secret,
    "name": a_name,
    "ip": an_ip,
    "address": an_address,
    "birth_date": a_birth_date,
}


def hard_negatives(chance: random.Random) -> dict[str, str]:
    """Return one text of each sort that looks like personal data and is none."""

    def d(n: int) -> str:
        return digits(chance, n)

    def hexa(n: int) -> str:
        return signs(chance, n, "0123456789abcdef")

    def n(low: int, high: int) -> int:
        return chance.randint(low, high)

    number = chance.choice(("#", "no. ", "number "))
    month = chance.choice(("April", "May", "August", "June"))
    town = chance.choice(("Paris", "Sydney", "Austin", "Florence"))
    firm = ("Goldman Sachs", "Johns Hopkins University", "Manchester United", "Marks and Spencer", "Real Madrid")
    street = chance.choice(("Wall Street", "The high street", "Fleet Street"))
    wrong = chance.choice(("wrong", "required", "the usual one", "too short", "case-sensitive"))
    return {
        "order number": f"Your order {number}{d(10)} has shipped.",
        "invoice": f"Invoice INV-{d(4)}-{d(5)} of {n(1, 28)}.{n(1, 12)}.2004 is due.",
        "price": f"It cost ${n(1, 9)},{d(3)},{d(3)}.{d(2)} or £{d(3)}.{d(2)}m.",
        "date and time": f"The meeting of 2004-{n(10, 12)}-{n(10, 28)} at 10:{n(10, 59)}:30 was moved.",
        "version": f"Update to version {n(1, 9)}.{n(0, 9)}.{n(0, 30)}.{n(0, 200)} today.",
        "isbn": f"See ISBN 978-{d(1)}-{d(3)}-{d(5)}-{d(1)} for more.",
        "product code": f"The model {chance.choice('ABGKMX')}{d(4)}-{d(3)}{chance.choice('XYZ')} is out.",
        "score": f"She won {n(6, 7)}-4 {n(3, 6)}-6 6-{n(1, 4)} 7-6 ({d(1)}-{d(1)}).",
        "years": f"Between 19{d(2)}-19{d(2)} and 200{d(1)}-200{d(1)} it grew by {d(2)}.{d(1)}%.",
        "phone-like": f"Tracking {d(4)}-{d(4)}-{d(4)} and part number {d(3)}-{d(3)}-{d(4)}.",
        "big number": f"The population was {d(2)} {d(3)} {d(3)} in all, of {d(9)} counted.",
        "mention": f"Thanks @{chance.choice(FIRST).lower()}{d(2)} for the tip about logo@2x.png!",
        "hash": f"Fixed in commit {hexa(40)} of the branch.",
        "coordinates": f"It lies at {d(2)}.{d(5)}, -{d(3)}.{d(5)}, {d(3)} m up.",
        "uuid": f"Request {hexa(8)}-{hexa(4)}-4{d(3)}-a{d(3)}-{hexa(12)} failed.",
        "no password": f"The password is {wrong} and the token expired.",
        "street in talk": f"{street} lost {d(2)} points; {n(3, 9)} roads were closed.",
        "birth without date": f"He was born in 19{d(2)}; the birth of the club was {n(2, 9)} years later.",
        "organisation": f"{chance.choice(firm)} said no.",
        "month or town": f"In {month} {town} was full.",
    }
