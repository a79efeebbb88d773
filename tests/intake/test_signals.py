"""EXIF and opt-outs, read before any transform; hostile blocks hurt nobody and are told as unread."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from unsee.intake.examine import Photo, examine_bytes
from unsee.intake.signals import Exif, Signals

RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
PLUS = 'xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/"'
VOCABULARY = "http://ns.useplus.org/ldf/vocab/"


def packet(inner: str) -> bytes:
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF}>{inner}</rdf:RDF></x:xmpmeta>'
        '<?xpacket end="w"?>'
    ).encode()


def spellings(value: str) -> dict[str, bytes]:
    uri = VOCABULARY + value
    return {
        "attribute": packet(f'<rdf:Description rdf:about="" {PLUS} plus:DataMining="{uri}"/>'),
        "element": packet(
            f'<rdf:Description rdf:about="" {PLUS}><plus:DataMining>{uri}</plus:DataMining></rdf:Description>'
        ),
        "resource": packet(
            f'<rdf:Description rdf:about="" {PLUS}><plus:DataMining rdf:resource="{uri}"/></rdf:Description>'
        ),
        "another prefix": packet(f'<rdf:Description rdf:about="" {PLUS.replace(":plus", ":p")} p:DataMining="{uri}"/>'),
    }


def a_file(kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), "teal").save(buffer, kind, **options)
    return buffer.getvalue()


def examined(data: bytes) -> Photo:
    photo = examine_bytes("x.jpg", data)
    assert isinstance(photo, Photo), photo
    return photo


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("spelling", spellings(""))
def test_an_opt_out_is_read_in_every_spelling_and_format(kind, spelling):
    xmp = spellings("DMI-PROHIBITED-AIMLTRAINING")[spelling]
    if kind == "TIFF":
        data = a_file(kind, tiffinfo={700: xmp})
    elif kind == "PNG":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", xmp.decode())
        data = a_file(kind, pnginfo=info)
    else:
        data = a_file(kind, xmp=xmp)
    assert examined(data).signals == Signals(("DMI-PROHIBITED-AIMLTRAINING",), opted_out=True)


@pytest.mark.parametrize(
    ("value", "opted_out"),
    [
        ("DMI-UNSPECIFIED", False),
        ("DMI-ALLOWED", False),
        ("DMI-PROHIBITED", True),
        ("DMI-PROHIBITED-GENAIMLTRAINING", True),
        ("DMI-PROHIBITED-EXCEPTSEARCHENGINEINDEXING", True),
        ("DMI-PROHIBITED-SEECONSTRAINT", True),
        ("DMI-SOMETHING-NEW", True),
    ],
)
def test_only_an_explicit_allowance_is_no_opt_out(value, opted_out):
    signals = examined(a_file(xmp=spellings(value)["attribute"])).signals
    assert (signals.data_mining, signals.opted_out) == ((value,), opted_out)


def test_of_two_values_the_stricter_one_counts():
    described = (
        f'<rdf:Description {PLUS} plus:DataMining="{VOCABULARY}{v}"/>' for v in ("DMI-ALLOWED", "DMI-PROHIBITED")
    )
    signals = examined(a_file(xmp=packet("".join(described)))).signals
    assert signals == Signals(("DMI-ALLOWED", "DMI-PROHIBITED"), opted_out=True)


def test_no_signal_is_no_value():
    assert examined(a_file()).signals == Signals()
    assert examined(a_file()).exif == Exif()


BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">%s]><x>&l;</x>' % b"".join(
    b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(11)
)


@pytest.mark.parametrize(
    ("xmp", "words"),
    [
        (BOMB, "entities"),
        (b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>', "document type"),
        (b"<x><y></x>", "not XML"),
        (b"\xff\xfe\x00", "not XML"),
        (b'<?xml version="1.0" encoding="no-such-code"?><x/>', "not XML"),
    ],
)
def test_hostile_xmp_is_told_as_unread(xmp, words):
    signals = examined(a_file("WEBP", xmp=xmp)).signals
    assert not signals.opted_out
    (told,) = signals.unread
    assert "XMP was not read" in told
    assert words in told


def test_xmp_that_is_too_large_is_told_as_unread():
    (told,) = examined(a_file("WEBP", xmp=packet("<a/>") + b" " * (1 << 20))).signals.unread
    assert "bytes large" in told


def test_deep_xmp_does_not_overflow():
    examined(a_file("WEBP", xmp=b"<a>" * 100_000 + b"</a>" * 100_000))


def test_extended_xmp_is_told_as_unread():
    data = a_file()
    segment = b"http://ns.adobe.com/xmp/extension/\0" + bytes(40)
    data = data[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + data[2:]
    assert examined(data).signals.unread == ("extended XMP was not read",)


def test_a_c2pa_manifest_is_told_as_present_and_unread():
    data = a_file()
    segment = b"JP\0\x01\0\0\0\x01\0\0\0\x40jumb\0\0\0\x26jumdc2pa\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71\x03c2pa\0"
    data = data[:2] + b"\xff\xeb" + (len(segment) + 2).to_bytes(2, "big") + segment + data[2:]
    signals = examined(data).signals
    assert signals.unread == ("a C2PA manifest is present and was not read",)
    assert not signals.opted_out


def an_exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112] = "Kodak", "Kodak DC210", 6
    exif.get_ifd(0x8769).update({0x9003: "2014:05:03 12:34:56", 0x9011: "+02:00"})
    exif.get_ifd(0x8825).update({1: "S", 2: (33.0, 51.0, 30.0), 3: "W", 4: (151.0, 12.0, 36.0)})
    return exif


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_exif_is_read_in_every_format(kind):
    exif = examined(a_file(kind, exif=an_exif())).exif
    assert exif == Exif(
        taken="2014-05-03T12:34:56+02:00",
        camera="Kodak DC210",
        has_position=True,
        latitude=-33.858333,
        longitude=-151.21,
        orientation=6,
    )


def test_the_position_of_a_photo_is_told_even_where_it_cannot_be_read():
    exif = an_exif()
    exif.get_ifd(0x8825)[2] = (333.0, 51.0, 30.0)
    read = examined(a_file(exif=exif)).exif
    assert (read.has_position, read.latitude, read.longitude) == (True, None, None)


@pytest.mark.parametrize("taken", ["0000:00:00 00:00:00", "yesterday", "    :  :     :  :  ", ""])
def test_a_date_that_is_none_reads_as_absent(taken):
    exif = an_exif()
    exif.get_ifd(0x8769)[0x9003] = taken
    assert examined(a_file(exif=exif)).exif.taken is None


def test_a_camera_cannot_smuggle_control_characters_or_length():
    exif = an_exif()
    exif[0x010F], exif[0x0110] = "", "\x1b[31mred\x07" + "x" * 1000
    camera = examined(a_file(exif=exif)).exif.camera
    assert camera is not None
    assert camera.startswith("[31mred")
    assert len(camera) == 128


def test_damaged_exif_is_told_and_the_photo_stays():
    data = a_file(exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    photo = examined(data)
    assert photo.exif == Exif()
    (told,) = photo.signals.unread
    assert told.startswith("EXIF cannot be read")


@settings(max_examples=300, deadline=None)
@given(
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=6),
    kind=st.sampled_from(["JPEG", "WEBP"]),
)
def test_flipped_bits_in_exif_and_xmp_never_raise(flips, kind):
    block = bytearray(an_exif().tobytes())
    xmp = bytearray(spellings("DMI-PROHIBITED")["element"])
    for where, change in flips:
        block[int(where * len(block))] ^= change
        xmp[int(where * len(xmp))] ^= change
    examine_bytes("x", a_file(kind, exif=bytes(block), xmp=bytes(xmp)))
