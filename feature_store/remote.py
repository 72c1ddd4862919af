"""A store whose truth is any fsspec location, and whose data root is the cache of it.

    <remote>/published/<table>/<ds>.json          the pointer, with the size and SHA-256 of the run's files
    <remote>/runs/<table>/<ds>/<run_id>/<file>    the files, never changed

Publishing puts the files there first and then the pointer, one small object: nothing is renamed, and of two
machines that publish the same partition the last pointer counts; both runs are whole. Where the remote
pointer is not the local one, its run is fetched into a temporary folder, verified, renamed and pointed at.
Only published runs go there: answers, vectors, the ledger, locks and the catalogue stay where they are made.
"""

import hashlib
import json
import secrets
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from feature_store.errors import NightmillError, SettingsError
from feature_store.locations import shown
from feature_store.partitions import POINTER, SYNC_THREADS, Partition, Store, sync, write_atomically
from feature_store.settings import Settings

# Where the local pointer remembers which state of the remote one it was made from.
STATE = "remote_state"


def open_store(settings: Settings) -> Store:
    """The store under the data root, with its remote where the settings name one."""
    url = settings.store.remote
    return RemoteStore(settings.data_root, url) if url else Store(settings.data_root)


class RemoteStore(Store):
    """Partitions that are published to, and fetched from, a remote location."""

    def __init__(self, root: Path, url: str) -> None:
        super().__init__(root)
        from fsspec.core import url_to_fs
        from fsspec.implementations.local import LocalFileSystem

        # Without what stands before an @: it may be a password, and the location is shown in messages.
        self.shown = shown(url.rstrip("/"))
        try:
            self.remote, self.base = url_to_fs(url.rstrip("/"))
        except (ImportError, ValueError) as error:
            raise SettingsError(f"setting store.remote: {self.shown} cannot be reached: {error}") from None
        self.on_disk = isinstance(self.remote, LocalFileSystem)

    def published(self, table: str, ds: date) -> Partition | None:
        """The published run of a partition, fetched if need be, or None."""
        self._follow(table, ds)
        return super().published(table, ds)

    def partitions(self, table: str, until: date | None = None) -> list[Partition]:
        """The published partitions of a table with ds <= until, oldest first, fetched if need be."""
        listed = self._states(table).items()
        stale = [(ds, state) for ds, state in listed if (until is None or ds <= until)]
        stale = [(ds, state) for ds, state in stale if self._local_pointer(table, ds).get(STATE) != state]
        with ThreadPoolExecutor(SYNC_THREADS) as pool:
            for _ in pool.map(lambda one: self._follow(table, *one), stale):
                pass
        return super().partitions(table, until)

    def pointer_to(self, run: Partition) -> str:
        """Put a run and then its pointer to the remote; the pointer, for the data root."""
        files = {}
        for file in sorted(run.path.iterdir()):
            path = f"runs/{run.table}/{run.ds}/{run.run_id}/{file.name}"
            with self._reached(path):
                self._make_parent(path)
                self.remote.put_file(str(file), self._at(path))
            files[file.name] = _seal(file)
        text = json.dumps({**json.loads(super().pointer_to(run)), "files": files})
        self._put_pointer(_pointer(run.table, run.ds), text)
        return text

    def withdraw(self, table: str, ds: date) -> None:
        """Remove the pointer of a partition, there and here."""
        path = _pointer(table, ds)
        with self._reached(path):
            if self.remote.exists(self._at(path)):
                self.remote.rm_file(self._at(path))
        super().withdraw(table, ds)

    def read_shared(self, name: str) -> list[str]:
        """A small text as it is here, and as it is in the remote."""
        with self._reached(name):
            try:
                there = [self.remote.cat_file(self._at(name)).decode()]
            except FileNotFoundError:
                there = []
        return [*super().read_shared(name), *there]

    def write_shared(self, name: str, text: str) -> None:
        """Write a small text here and to the remote."""
        super().write_shared(name, text)
        self._put_pointer(name, text)

    def remote_runs(self, table: str) -> Iterator[tuple[date, str]]:
        """Every run of a table that is in the remote, published or not."""
        for folder in self._listed(f"runs/{table}"):
            for run in self._listed(f"runs/{table}/{folder}"):
                yield date.fromisoformat(folder), run

    def fetch_run(self, table: str, ds: date, run_id: str, folder: Path) -> None:
        """Copy the files of a run in the remote into a folder, as they are."""
        path = f"runs/{table}/{ds}/{run_id}"
        for name in self._listed(path):
            with self._reached(path):
                self.remote.get_file(self._at(f"{path}/{name}"), str(folder / name))

    def remove_run(self, table: str, ds: date, run_id: str) -> None:
        """Remove the files of a run from the remote."""
        path = f"runs/{table}/{ds}/{run_id}"
        with self._reached(path):
            self.remote.rm(self._at(path), recursive=True)

    def _listed(self, path: str) -> list[str]:
        """The names in a folder of the remote, none where there is no such folder."""
        with self._reached(path):
            self.remote.invalidate_cache()
            try:
                found = self.remote.ls(self._at(path), detail=False)
            except FileNotFoundError:
                return []
        return sorted(name for one in found if (name := Path(str(one)).name) != Path(path).name)

    def _follow(self, table: str, ds: date, state: str = "") -> None:
        """Make the local pointer say what the remote one says, its files first."""
        path = _pointer(table, ds)
        with self._reached(path):
            try:
                text = self.remote.cat_file(self._at(path)).decode()
            except FileNotFoundError:
                return
        try:
            named = json.loads(text)
            run = self.run_folder(table, ds, named["run_id"])
        except (ValueError, KeyError, TypeError) as error:
            raise NightmillError(
                f"{self.shown}/{path} is damaged ({error}); remove it and publish {table} of {ds} again"
            ) from None
        here = self._local_pointer(table, ds)
        if run.is_dir() and here.get("run_id") == named["run_id"] and state in ("", here.get(STATE)):
            return
        pointer = json.dumps({**named, STATE: state})
        while not self._point(table, ds, run, pointer, None if run.is_dir() else self._fetch(run, named)):
            pass

    def _point(self, table: str, ds: date, run: Path, pointer: str, fetched: Path | None) -> bool:
        """Put a fetched run in place and point at it; False where a former copy was collected meanwhile."""
        with self.lock("runs"):
            if fetched is not None and not run.is_dir():
                fetched.rename(run)
            if not run.is_dir():
                return False
            write_atomically(self.folder(table, ds) / POINTER, pointer)
        if fetched is not None:
            shutil.rmtree(fetched, ignore_errors=True)
        return True

    def _fetch(self, run: Path, named: dict[str, Any]) -> Path:
        """Fetch the files of a run into a folder of their own beside it, and verify them."""
        ds = run.parents[1].name[3:]
        table = run.parents[2].name
        folder = run.with_name(f".fetched-{run.name}-{secrets.token_hex(4)}")
        folder.mkdir(parents=True)
        for name, seal in named["files"].items():
            path = f"runs/{table}/{ds}/{run.name}/{name}"
            with self._reached(path):
                self.remote.get_file(self._at(path), str(folder / name))
            if _seal(folder / name) != seal:
                shutil.rmtree(folder)
                raise NightmillError(
                    f"{self.shown}/{path} is not the file that was published (size or SHA-256 differ): "
                    f"remove {self.shown}/{_pointer(table, ds)} and publish {table} of {ds} with --reprocess"
                )
            sync(folder / name)
        sync(folder)
        return folder

    def _states(self, table: str) -> dict[date, str]:
        """The days the remote has published, with the state (time, tag, size) of each pointer."""
        path = f"published/{table}"
        with self._reached(path):
            self.remote.invalidate_cache()
            try:
                found = self.remote.ls(self._at(path), detail=True)
            except FileNotFoundError:
                return {}
        pointers = {Path(str(one["name"])): one for one in found}
        return {
            date.fromisoformat(path.stem): repr(sorted((k, str(v)) for k, v in one.items()))
            for path, one in pointers.items()
            if path.suffix == ".json" and not path.name.startswith(".")
        }

    def _local_pointer(self, table: str, ds: date) -> dict[str, Any]:
        try:
            named: dict[str, Any] = json.loads((self.folder(table, ds) / POINTER).read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return named

    def _put_pointer(self, path: str, text: str) -> None:
        with self._reached(path):
            self._make_parent(path)
            if self.on_disk:
                # On a disk an object is not there all at once, as it is in an object store.
                write_atomically(Path(self._at(path)), text)
            else:
                self.remote.pipe_file(self._at(path), text.encode())

    def _make_parent(self, path: str) -> None:
        if self.on_disk:
            Path(self._at(path)).parent.mkdir(parents=True, exist_ok=True)

    def _at(self, path: str) -> str:
        return f"{self.base}/{path}"

    @contextmanager
    def _reached(self, path: str) -> Iterator[None]:
        """Say which location failed: every driver has errors of its own, which name it or do not."""
        try:
            yield
        except Exception as error:
            raise NightmillError(
                f"{self.shown}/{path} cannot be reached ({type(error).__name__}: {error}): mend the "
                "connection or its credentials, or change store.remote, and run it again"
            ) from error


def _pointer(table: str, ds: date | str) -> str:
    return f"published/{table}/{ds}.json"


def _seal(file: Path) -> dict[str, Any]:
    """What a file must be like when it has been fetched."""
    with file.open("rb") as handle:
        return {"bytes": file.stat().st_size, "sha256": hashlib.file_digest(handle, "sha256").hexdigest()}
