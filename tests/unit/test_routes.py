"""Archives, folders of downloads, and the clients of package registries, honest and not."""

from __future__ import annotations

import os
import sys
import tarfile
import time
from pathlib import Path

import pytest
from toy_set import (
    BODY,
    NOBODY,
    QUICK,
    assert_clear,
    assert_good,
    contents,
    decode,
    small_source,
    tar_file,
    wait_until,
)

from dae_utils.data.download import Limits, RouteFailure
from dae_utils.data.routes import DebianPackage, LocalFolder, NpmPackage, OfficialHost, read_members
from dae_utils.data.sources import DataSource, load_arrays
from dae_utils.data.storage import SourceError


def test_folder_of_downloads_comes_before_the_network(
    official_host, cache_folder, tmp_path, monkeypatch, capsys
):
    (tmp_path / "by_hand").mkdir()
    (tmp_path / "by_hand" / "pair.bin").write_bytes(BODY)
    monkeypatch.setenv("DAE_DOWNLOADS", str(tmp_path / "by_hand"))
    arrays, origin = load_arrays(small_source(official_host.url), QUICK)
    assert_good(arrays)
    assert origin == "the folder in DAE_DOWNLOADS"
    assert official_host.requests == []
    assert str(tmp_path) not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("body", "words"), [(None, "No such file"), (BODY[:-1], "y is uint8"), (b"0" * 100_001, "larger than")]
)
def test_folder_of_downloads_with_a_wrong_file(body, words, cache_folder, tmp_path, monkeypatch):
    if body is not None:
        (tmp_path / "pair.bin").write_bytes(body)
    monkeypatch.setenv("DAE_DOWNLOADS", str(tmp_path))
    with pytest.raises(SourceError) as caught:
        load_arrays(small_source(NOBODY), QUICK)
    assert_clear(caught.value, "the folder in DAE_DOWNLOADS: ", words, "cannot connect")
    assert contents(cache_folder) == set()
    assert (tmp_path / "pair.bin").exists() == (body is not None)  # the reader's own file stays


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_only_the_named_members_are_read(mode, tmp_path):
    archive = tar_file(
        tmp_path / "a.tar", {"../evil": b"!", "a/b": b"12", "c": b"345", "big": b"0" * 999}, mode
    )
    assert read_members(archive, {"a/b": 2, "c": 9}) == {"a/b": b"12", "c": b"345"}
    assert contents(tmp_path) == {"a.tar"}


def test_archives_that_are_not_what_they_should_be(tmp_path):
    archive = tar_file(tmp_path / "a.tgz", {"a": b"1234", "b": os.urandom(50_000), "c": b"5"})
    with pytest.raises(RouteFailure, match=r"a\.tgz lacks d, e"):
        read_members(archive, {"a": 9, "d": 1, "e": 1})
    with pytest.raises(RouteFailure, match=r"a in a\.tgz is not what it should be"):
        read_members(archive, {"a": 3})
    for body in (archive.read_bytes()[:20_000], b"no archive"):
        archive.write_bytes(body)
        with pytest.raises(RouteFailure, match="damaged"):
            read_members(archive, {"c": 9})
    with tarfile.open(archive, "w") as tar:
        link = tarfile.TarInfo("c")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(RouteFailure, match="not what it should be"):
        read_members(archive, {"c": 9})


def test_official_archive(official_host, cache_folder, tmp_path, monkeypatch):
    archive = tar_file(tmp_path / "pair.tgz", {"readme": b"", "in/pair.bin": BODY}).read_bytes()
    official_host.answers["pair.tgz"] = archive[:9_000]
    files, members = {"pair.tgz": 100_000}, {"in/pair.bin": 50_000}
    source = small_source(NOBODY)
    source = DataSource(
        **{
            **vars(source),
            "routes": (
                LocalFolder(files, decode, members),
                OfficialHost(official_host.url, files, decode, members),
            ),
        }
    )
    with pytest.raises(SourceError) as caught:
        load_arrays(source, QUICK)
    assert_clear(caught.value, "pair.tgz is damaged")
    assert contents(cache_folder) == set()
    official_host.answers["pair.tgz"] = archive
    assert_good(load_arrays(source, QUICK)[0])

    (cache_folder / "pair.npz").unlink()
    monkeypatch.setenv("DAE_DOWNLOADS", str(tmp_path))
    arrays, origin = load_arrays(source, QUICK)
    assert_good(arrays)
    assert origin == "the folder in DAE_DOWNLOADS"


@pytest.fixture
def clients(tmp_path, monkeypatch):
    """A PATH that holds nothing but what the test puts there: `clients(name, python code)`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def add(name: str, code: str) -> None:
        program = folder / name
        header = f"#!{sys.executable}\nimport os, sys, time, shutil, pathlib\n"
        program.write_text(header + code)
        program.chmod(0o755)

    return add


def npm_source() -> DataSource:
    return small_source(NOBODY, NpmPackage("pair-data", "1.0.0", 9, {"package/pair.bin": 40_000}, decode))


def test_npm_package(clients, cache_folder, tmp_path, capsys):
    archive = tar_file(tmp_path / "made.tgz", {"package/index.js": b"evil()", "package/pair.bin": BODY})
    clients(
        "npm",
        "assert sys.argv[1:] == ['pack', '--ignore-scripts', 'pair-data@1.0.0'], sys.argv\n"
        f"shutil.copy({str(archive)!r}, 'pair-data-1.0.0.tgz')",
    )
    arrays, origin = load_arrays(npm_source(), QUICK)
    assert_good(arrays)
    assert origin == "npm package pair-data 1.0.0"
    assert contents(cache_folder) == {"pair.npz"}


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("print('npm error code ENOTFOUND', file=sys.stderr); sys.exit(1)", "npm: ENOTFOUND"),
        ("print('first\\nlast words', file=sys.stderr); sys.exit(1)", "npm: last words"),
        ("sys.exit(3)", "npm: exit code 3"),
        ("print('done')", "pair-data-1.0.0.tgz is missing"),
        ("open('pair-data-1.0.0.tgz', 'wb').write(b'x' * 999)", "pair-data-1.0.0.tgz is damaged"),
    ],
)
def test_npm_that_does_not_serve(code, words, clients, cache_folder):
    clients("npm", code)
    with pytest.raises(SourceError) as caught:
        load_arrays(npm_source(), QUICK)
    assert_clear(caught.value, "npm package pair-data 1.0.0: ", words)
    assert contents(cache_folder) == set()


def test_client_that_hangs_is_ended_with_its_children(clients, cache_folder, tmp_path):
    note = tmp_path / "child"
    clients(
        "npm",
        f"child = os.fork()\nif child: pathlib.Path({str(note)!r}).write_text(str(child))\ntime.sleep(60)\n",
    )
    start = time.monotonic()
    with pytest.raises(SourceError) as caught:
        load_arrays(npm_source(), Limits(connect=0.2, answer=0.2, client=1.5))
    assert time.monotonic() - start < 10
    assert_clear(caught.value, "npm took longer than 1.5 s")

    def gone() -> bool:
        state = Path(f"/proc/{note.read_text()}/stat")
        return not state.exists() or state.read_text().split()[2] == "Z"

    if Path("/proc/self/stat").exists():
        wait_until(gone, 5)


def test_client_is_ended_where_there_are_no_process_groups(clients, cache_folder, tmp_path, monkeypatch):
    monkeypatch.delattr(os, "killpg")
    note = tmp_path / "client"
    clients("npm", f"pathlib.Path({str(note)!r}).write_text(str(os.getpid()))\ntime.sleep(60)\n")
    with pytest.raises(SourceError, match="npm took longer than"):
        load_arrays(npm_source(), Limits(connect=0.2, answer=0.2, client=1.5))
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


def debian_source() -> DataSource:
    return small_source(NOBODY, DebianPackage("dataset-pair", 9, {"./usr/pair.bin": 40_000}, decode))


APT = """
with open({log!r}, 'a') as log: log.write(' '.join(sys.argv[1:]) + '\\n')
if 'update' in sys.argv: pathlib.Path({lists!r}).touch()
elif not os.path.exists({lists!r}): sys.exit('E: Unable to locate package dataset-pair')
elif {serves!r}: pathlib.Path('dataset-pair_1_all.deb').touch()
"""


def add_apt(clients, tmp_path: Path, *, lists: bool = True, serves: bool = True) -> Path:
    """Put an `apt-get` and a `dpkg-deb` on the PATH; return the record of what apt-get was asked."""
    archive = tar_file(tmp_path / "made.tar", {"./usr/pair.bin": BODY}, "w")
    if lists:
        (tmp_path / "lists").touch()
    log = tmp_path / "log"
    clients("apt-get", APT.format(log=str(log), lists=str(tmp_path / "lists"), serves=serves))
    clients(
        "dpkg-deb",
        "assert sys.argv[1:] == ['--fsys-tarfile', 'dataset-pair_1_all.deb'], sys.argv\n"
        f"sys.stdout.buffer.write(open({str(archive)!r}, 'rb').read())",
    )
    return log


def test_debian_package(clients, cache_folder, tmp_path):
    log = add_apt(clients, tmp_path)
    arrays, origin = load_arrays(debian_source(), QUICK)
    assert_good(arrays)
    assert origin == "Debian package dataset-pair"
    assert log.read_text() == "--quiet download dataset-pair\n"
    assert contents(cache_folder) == {"pair.npz"}


def test_debian_package_without_lists_as_root(clients, cache_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    log = add_apt(clients, tmp_path, lists=False)
    assert_good(load_arrays(debian_source(), QUICK)[0])
    assert [line.split()[1] for line in log.read_text().splitlines()] == ["download", "update", "download"]


def test_debian_package_without_lists_as_another(clients, cache_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    log = add_apt(clients, tmp_path, lists=False)
    with pytest.raises(SourceError) as caught:
        load_arrays(debian_source(), QUICK)
    assert_clear(caught.value, "Unable to locate package dataset-pair (`sudo apt-get update` may help)")
    assert "update" not in log.read_text()


def test_debian_package_that_does_not_come(clients, cache_folder, tmp_path):
    add_apt(clients, tmp_path, serves=False)
    with pytest.raises(SourceError) as caught:
        load_arrays(debian_source(), QUICK)
    assert_clear(caught.value, "apt-get left no package")
    clients("apt-get", "sys.exit('E: no network')")
    with pytest.raises(SourceError) as caught:
        load_arrays(debian_source(), QUICK)
    assert_clear(caught.value, "apt-get: no network")
    assert contents(cache_folder) == set()


def test_long_reasons_stay_on_one_line(clients, cache_folder):
    clients("npm", "sys.exit('E: ' + 'many words ' * 99)")
    with pytest.raises(SourceError) as caught:
        load_arrays(npm_source(), QUICK)
    assert_clear(caught.value, "many words", "…")
    assert len(str(caught.value)) < 800
