"""The sink `file`: each copy is a file that a service reads."""

import grp
import os
import pwd
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from credmgr.errors import ConfigError
from credmgr.model.names import Name
from credmgr.plugins.backend import Mistake
from credmgr.plugins.context import PluginContext
from credmgr.sinks.copies import FileCopies, Layout
from credmgr.sinks.folders import Access
from credmgr.sinks.rendering import LIMITS, Form, Render, Rendering, filled, mistakes_in

_MODE: Final = re.compile(r"0?[0-7]{3}", re.ASCII)
_OURS: Final = re.compile(r"\..*\.credmgr(-new)?|\.credmgr-probe")


@dataclass(frozen=True, slots=True)
class FileOptions:
    """Where the files are, who may read them, and what is in them.

    Attributes:
        path: The folder that they are in; made if missing, not its parents.
        file: The path of each below it; `{{ name }}` is what the copy is called.
        mode: Its permission bits in octal, quoted.
        owner: The user it belongs to, by name or number; the one that runs credmgr unless given.
        group: The group it belongs to, by name or number; likewise.
        others_may_read: Allow a mode that lets every user of the machine read it.
        form: `raw` is the value alone; `dotenv` a line that a shell, systemd or a dotenv library
            reads; `json` an object with one key; `template` what `template` says.
        key: The variable of `dotenv`, made of the name unless given; the key of `json`, `value`
            unless given.
        template: A text with `{{ secret }}` in it, also as `{{ secret | json }}`, `dotenv`, `url`
            or `base64`; `{{ name }}` and `{{ version }}` too.
        adopt: Write over a file that credmgr did not write, which is refused otherwise.
    """

    path: str
    file: str = "{{ name }}"
    mode: str = "0600"
    owner: str | int = ""
    group: str | int = ""
    others_may_read: bool = False
    form: Form = Form.RAW
    key: str = ""
    template: str = ""
    adopt: bool = False

    @property
    def rendering(self) -> Rendering:
        """How a value becomes a file's content."""
        return Rendering(self.form, self.key, self.template)


class FileSinkFactory:
    """Makes sinks of files."""

    options = FileOptions
    limits = LIMITS

    def validate(self, options: FileOptions) -> Iterable[Mistake]:
        """What the types alone cannot say."""
        yield from file_mistakes(options.path, options.file)
        yield from mode_mistakes(options.mode, others_may_read=options.others_may_read)
        yield from options.rendering.mistakes()

    def open(self, options: FileOptions, context: PluginContext) -> FileCopies:
        """A session; nothing is touched yet.

        Raises:
            ConfigError: There is no such user or group.
        """
        access = access_of(options.mode, options.owner, options.group)
        return file_copies(
            context, options.path, options.file, access, options.rendering, adopt=options.adopt
        )


def file_copies(
    context: PluginContext, path: str, file: str, access: Access, render: Render, *, adopt: bool
) -> FileCopies:
    """Files below `path`, each called as the template `file` says."""

    def called(name: Name) -> str:
        return filled(file, {"name": name})

    return FileCopies(Layout(context.home / Path(path), access, called, render, adopt), context)


def file_mistakes(path: str, file: str) -> Iterator[Mistake]:
    """What is wrong with the options `path` and `file`."""
    if not path or "\0" in path:
        yield Mistake("path", "path is no folder")
    if "{{" in file and (wrong := list(mistakes_in(file, "name", ["name"]))):
        yield from (Mistake("file", what, fix) for what, fix in wrong)
        return
    steps = filled(file, {"name": "name"}).split("/")
    if any(step in ("", ".", "..") for step in steps) or "\0" in file:
        yield Mistake("file", "file is no path below `path`", 'write it as "{{ name }}.env"')
    elif _OURS.fullmatch(steps[-1]):
        yield Mistake("file", "credmgr's own files beside the copies are called so")


def access_of(mode: str, owner: str | int, group: str | int) -> Access:
    """Who may reach the files, as the options of these names say.

    Raises:
        ConfigError: There is no such user or group.
    """
    return Access(int(mode, 8), _user(owner), _group(group))


def mode_mistakes(bits: str, *, others_may_read: bool) -> Iterator[Mistake]:
    """What is wrong with the option `mode`."""
    if not _MODE.fullmatch(bits):
        yield Mistake("mode", "mode is no permission bits", 'write them as "0640", quoted')
        return
    mode = int(bits, 8)
    if mode & (stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH | stat.S_IWGRP | stat.S_IWOTH):
        yield Mistake("mode", "others than the owner could write it, or run it", 'write "0640"')
    if not mode & stat.S_IRUSR:
        yield Mistake("mode", "its owner could not read it", 'write "0400" or "0600"')
    if mode & stat.S_IROTH and not others_may_read:
        fix = 'write "0640" with a `group`, or `others_may_read: true` if that is meant'
        yield Mistake("mode", "every user of the machine could read it", fix)


def _user(owner: str | int) -> int:
    if owner == "":
        return os.geteuid()
    try:
        return owner if isinstance(owner, int) else pwd.getpwnam(owner).pw_uid
    except KeyError:
        raise ConfigError(f"there is no user {owner!a}", hint="give a name or a number") from None


def _group(group: str | int) -> int:
    if group == "":
        return os.getegid()
    try:
        return group if isinstance(group, int) else grp.getgrnam(group).gr_gid
    except KeyError:
        raise ConfigError(f"there is no group {group!a}", hint="give a name or a number") from None
