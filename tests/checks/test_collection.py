# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as Ansible, Galaxy and an operator meet it."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.opentalk.maintenance.plugins.module_utils.engine.report import SHOWN
from ansible_collections.opentalk.maintenance.plugins.module_utils.jobs.registry import JOB_TYPES, NIGHT, ON_REQUEST
from ansible_collections.opentalk.maintenance.plugins.module_utils.jobs.registry import JOBS as REGISTERED
from ansible_collections.opentalk.maintenance.plugins.modules import audit_log_info, timers_files, timers_info
from ansible_collections.opentalk.maintenance.plugins.plugin_utils import erasure_report

from support import ansible, checkout, readme
from support.collection import ROOT
from support.limits import HANGS
from support.snapshot import counts, removed
from support.world import World

# Options that name a system, whose jobs have an action group of the same name.
KINDS = ("object_storage", "shared_folder", "keycloak")
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))
JOBS = [name for name in MODULES if name in REGISTERED]


def run(*command: str | Path, collections: Path | str, cwd: Path | None = None) -> str:
    """Standard output of one of Ansible's programs, which must succeed."""
    program, *arguments = map(str, command)
    played = subprocess.run(
        [ansible.program(program), *arguments],
        env=ansible.environment(collections, COLUMNS="120"),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=HANGS,
        check=False,
    )
    assert played.returncode == 0, played.stdout + played.stderr
    return played.stdout


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the collection as the README's commands install it, from a checkout."""
    folder = tmp_path_factory.mktemp("installed")
    tree = checkout.copy(tmp_path_factory.mktemp("checkout"))
    get_ansible, build, install, prepare = readme.commands("Installation")
    assert get_ansible == ["pip", "install", "ansible-core", "distlib", "jsonschema"]
    run(*build, collections=folder, cwd=tree)
    run(*install, "-p", str(folder), "--offline", collections=folder, cwd=tree)
    run(*prepare, "--syntax-check", collections=folder, cwd=tree)
    return folder


def test_archive_holds_what_is_used_and_nothing_else(tmp_path: Path) -> None:
    """Also where a checkout has settings, inventories and logs in it."""
    tree = checkout.copy(tmp_path)
    for name in (
        "controller.toml", "inventory", "inventory.ini", "inventories/production/hosts", "hosts", "hosts.yml", "audit.jsonl",
        "audit.log", "opentalk-maintenance.jsonl", ".env", ".vault_pass", "vault.yml", "site.yml", "group_vars/all.yml",
        "host_vars/a.yml", "id_rsa", "server.key", "ca.pem", "dump.sql", "backup.tar", "opentalk-maintenance-0.9.0.tar.gz",
        "passwords.txt", "requirements.txt.bak", "README.md~", "venv/bin/activate", "result.json", "plan.json",
        "playbooks/controller.toml", "playbooks/inventory", "playbooks/hosts", "playbooks/group_vars/all.yml",
        "playbooks/group_vars/opentalk_controllers/vault.yml", "playbooks/host_vars/a.yml", "playbooks/site.retry",
        "playbooks/site.yml", "playbooks/inventory.yml", "playbooks/tasks/main.yml", "plugins/modules/__pycache__/x.pyc",
        "plugins/.mypy_cache/x", "plugins/.x/y.py", "plugins/modules/.#event_cleanup.py",
        "roles/timers/files/id_ed25519", "roles/timers/tasks/.main.yml",
        "roles/timers/vars/vault.yml", "docs/.DS_Store", "docs/.notes/x.md", "changelogs/.plugin-cache.yaml", "meta/audit.jsonl",
    ):  # fmt: skip
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("planted")
    built = tmp_path / "built"
    run("ansible-galaxy", "collection", "build", "--output-path", built, collections=tmp_path, cwd=tree)
    (archive,) = built.iterdir()
    with tarfile.open(archive) as opened:
        files = {member.name for member in opened if member.isfile()} - {"MANIFEST.json", "FILES.json"}
    wanted = {
        "plugins", "playbooks", "roles", "meta", "docs", "changelogs", "README.md", "LICENSE", "CHANGELOG.md", "requirements.txt",
        "bindep.txt", "CONTRIBUTING.md", "SECURITY.md",
    }  # fmt: skip
    # Fragments become part of the changelog when there is a release.
    listed = run_git("ls-files", "--cached", ":!changelogs/fragments").splitlines()
    assert files == {name for name in listed if name.split("/")[0] in wanted and (ROOT / name).is_file()}


def documented(installed: Path, kind: str, names: Iterable[str]) -> dict[str, Any]:
    """What ansible-doc has of these plugins, by their names in the collection. It takes as long for one as for all."""
    prefix = "opentalk.maintenance."
    printed = run("ansible-doc", "--json", "--type", kind, *(prefix + name for name in names), collections=installed)
    return {name.removeprefix(prefix): found for name, found in json.loads(printed).items()}


@pytest.fixture(scope="session")
def modules(installed: Path) -> dict[str, Any]:
    return documented(installed, "module", MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_documentation_is_complete(modules: dict[str, Any], module: str) -> None:
    documented = modules[module]
    assert documented["examples"] and documented["return"]
    specification = _argument_spec(module)
    assert set(documented["doc"]["options"]) == set(specification)
    for option, spec in specification.items():
        entry = documented["doc"]["options"][option]
        assert entry["description"]
        assert entry.get("default") == spec.get("default"), option
        assert entry["type"] == spec["type"], option
        assert set(entry.get("suboptions") or {}) == set(spec.get("options") or {}), option


@pytest.mark.parametrize(
    "kind, names",
    [
        ("filter", ["night_outcome", "timer_decisions", "timer_problems", "status_table", "to_toml"]),
        ("lookup", ["differing_files", "job_options", "night"]),
        ("callback", ["job_log"]),
        ("role", ["timers"]),
    ],
)
def test_other_plugins_and_roles_are_documented(installed: Path, kind: str, names: list[str]) -> None:
    found = documented(installed, kind, names)
    assert sorted(found) == sorted(names)
    for name, content in found.items():
        entry = content["entry_points"]["main"] if kind == "role" else content["doc"]
        assert entry["short_description"] and (entry["options"] or name == "night"), name


def _argument_spec(module: str) -> dict[str, Any]:
    if module == "status_info":
        return {}
    if module == "job_info":
        return {"job_type": {"type": "str", "choices": list(JOB_TYPES)}}
    if module == "audit_log_info":
        return audit_log_info.OPTIONS
    if module == "erasure_report":
        return erasure_report.OPTIONS
    if module == "timers_info":
        return timers_info.OPTIONS
    if module == "timers_files":
        return timers_files.OPTIONS
    return REGISTERED[module].argument_spec()


def test_every_job_is_in_the_action_group_and_has_a_playbook() -> None:
    runtime = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())
    takers = {
        kind: [job for job in JOBS if option in REGISTERED[job].argument_spec()]
        for kind, option in (("database", "database_url"), *((kind, kind) for kind in KINDS))
    }
    assert runtime["action_groups"] == {"jobs": JOBS, **takers}
    own_start = {"action_plugin": "opentalk.maintenance.self_check"}
    assert runtime["plugin_routing"] == {"modules": dict.fromkeys(JOBS, own_start)}
    assert sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml")) == sorted(
        [*JOBS, "all_jobs", "erasure_report", "prepare_hosts", "provision_timers", "status", "with_approval"]
    )


def test_every_job_runs_in_the_night_or_on_request_only() -> None:
    assert sorted([*NIGHT, *ON_REQUEST]) == sorted(JOB_TYPES) and NIGHT[0] == "self_check"


def test_every_module_has_a_test() -> None:
    """That is, one that names it."""
    tests = [path for folder in ("integration", "unit") for path in (ROOT / "tests" / folder).glob("test_*.py")]
    nodes = (node for path in tests for node in ast.walk(ast.parse(path.read_text())))
    named = {str(node.value).rpartition(".")[2] for node in nodes if isinstance(node, ast.Constant)}
    assert set(MODULES) - named == set()


def _tasks(path: str) -> list[dict[str, Any]]:
    """The tasks of a playbook with one play, or of a file with tasks. Blocks are their tasks, with the keywords of the block."""
    content = yaml.safe_load((ROOT / "playbooks" / path).read_text())
    tasks = content[0]["tasks"] if "hosts" in content[0] else content
    return [{**task, **inner} for task in tasks for inner in task.get("block", [task])]


def _options(job: str) -> str:
    return f"{{{{ lookup('opentalk.maintenance.job_options', {job}) }}}}"


@pytest.mark.parametrize("job", JOBS)
def test_playbook_takes_the_options_of_its_job_from_variables(job: str) -> None:
    task, log = _tasks(f"{job}.yml")
    assert task[f"opentalk.maintenance.{job}"] is None and log["ansible.builtin.debug"] == {"var": "job.log"}
    assert task["module_defaults"] == {"group/opentalk.maintenance.jobs": _options(repr(job))}
    assert task["run_once"] is log["run_once"] is True


def test_every_option_of_every_job_comes_from_a_variable(collections_path: str, tmp_path: Path) -> None:
    """The lookup in Ansible, with the variables of all jobs at once."""

    def variable(job: str, option: str) -> str:
        own = option in REGISTERED[job].parameters.properties or option in (
            "approved_plan",
            "approved_by",
            "user_ids",
            "oidc_subs",
            "emails",
        )
        return f"{job if own else 'opentalk_maintenance'}_{option}"

    names = {variable(job, option) for job in JOBS for option in _argument_spec(job)}
    variables = {**{name: f"value of {name}" for name in names}, "ansible_python_interpreter": sys.executable}
    tasks = [
        {"ansible.builtin.copy": {"content": _options(repr(job)), "dest": str(tmp_path / job), "mode": "0600"}}
        for job in JOBS
    ]
    playbook = tmp_path / "gather.yml"
    playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    arguments = ["-i", "localhost,", "-c", "local", "-e", json.dumps(variables)]
    run("ansible-playbook", str(playbook), *arguments, collections=collections_path, cwd=tmp_path)
    for job in JOBS:
        gathered = json.loads((tmp_path / job).read_text())
        assert gathered == {option: f"value of {variable(job, option)}" for option in _argument_spec(job)}


def test_files_of_tasks_run_jobs_without_options_of_their_own() -> None:
    """The playbooks that run several jobs give the options."""
    jobs = {*NIGHT, *(job for job in JOBS if "approved_plan" in _argument_spec(job))}
    assert {path.stem for path in (ROOT / "playbooks" / "tasks").iterdir()} == {*jobs, "job_of_night"}
    for job in jobs:
        (task,) = _tasks(f"tasks/{job}.yml")
        del task["name"]
        assert task == {f"opentalk.maintenance.{job}": None, "run_once": True, "register": "job"}


def test_playbook_that_asks_takes_every_job_with_an_approval() -> None:
    """The preview and the run have the same options."""
    jobs = sorted(job for job in JOBS if "approved_plan" in _argument_spec(job))
    check, preview, *asks, act, log = _tasks("with_approval.yml")
    assert check["vars"] == {"jobs": jobs}
    files = {task["ansible.builtin.include_tasks"] for task in (preview, act)}
    assert files == {"tasks/{{ opentalk_maintenance_job }}.yml"} and len(asks) == 2
    options = _options("opentalk_maintenance_job")
    approved = options.replace(" }}", " | combine({'approved_plan': job.approval}) }}")
    assert preview["module_defaults"] == {"group/opentalk.maintenance.jobs": options} and preview["check_mode"] is True
    assert act["module_defaults"] == {"group/opentalk.maintenance.jobs": approved} and "check_mode" not in act


def test_playbooks_on_an_installed_collection(
    installed: Path, open_world: Callable[..., World], tmp_path: Path
) -> None:
    """Check, run, run again, with the README's commands, on two controllers that share the database."""
    world = open_world(67)
    world.fill(events=110)
    config = tmp_path / "controller.toml"
    storage = "".join(f"{key} = {json.dumps(value)}\n" for key, value in world.options["object_storage"].items())
    config.write_text(f'[database]\nurl = "{world.options["database_url"]}"\n[minio]\n{storage}')
    inventory = tmp_path / "inventory"
    inventory.write_text(
        "[opentalk_controllers]\n"
        + "".join(
            f"{host} ansible_connection=local ansible_python_interpreter={sys.executable}\n" for host in ("a", "b")
        )
    )
    before, objects = world.rows(), world.objects()

    def play(*command: str) -> str:
        variable = f"opentalk_maintenance_controller_config={config}"
        return run(*command, "-i", str(inventory), "-e", variable, collections=installed, cwd=tmp_path)

    look, erase = readme.commands("Description")
    assert [command[1] for command in (look, erase)] == ["opentalk.maintenance.event_cleanup"] * 2
    others = readme.commands("Use cases")
    assert others
    for command in others:
        (name,) = (word for word in command if word.startswith("opentalk.maintenance."))
        assert f"/playbooks/{name.rpartition('.')[2]}.yml\n" in play(*command, "--syntax-check")
    (own,) = (block for block in readme.blocks("Use cases", "yaml") if "hosts:" in block)
    own_file = tmp_path / "own.yml"
    own_file.write_text(own.replace("/etc/opentalk/controller.toml", str(config)))
    assert "failed=0" in play("ansible-playbook", str(own_file), "--check")

    preview = play(*look)
    assert world.rows() == before and world.objects() == objects and world.proxy.writes == []
    assert "changed=1" in preview and preview.count("changed: [") == 1
    assert "changed=1" in play(*erase)
    gone = removed(before, world.rows())
    events = sorted(json.loads(row)["id"] for row in gone["events"])
    assert [line.strip("- ") for line in preview.splitlines() if line[7:] in events][:SHOWN] == events[:SHOWN]
    assert f"-events: {len(events)}\n" in preview and f"-    # and {len(events) - SHOWN} more\n" in preview
    for table, number in counts(gone).items():
        assert f"-  {table}: {number}\n" in preview
    assert "changed=0" in play(*erase)

    local = run(
        "ansible-playbook", "opentalk.maintenance.self_check", "-i", "localhost,", "-c", "local",
        "-e", "opentalk_maintenance_hide_duration=true", collections=installed, cwd=tmp_path,
    )  # fmt: skip
    assert '"[INFO ] Job finished successfully"' in local


def test_changelog_describes_the_release() -> None:
    """The version of the archive is the newest of the changelog, which names every released module, and that of the README."""
    version = yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]
    releases = yaml.safe_load((ROOT / "changelogs" / "changelog.yaml").read_text())["releases"]
    assert version == max(releases, key=lambda release: [int(part) for part in release.split(".")])
    released = [name for name in MODULES if _version_added(name) in releases]
    assert sorted(module["name"] for release in releases.values() for module in release.get("modules", ())) == released
    assert f"## v{version}".replace(".", "\\.") in (ROOT / "CHANGELOG.md").read_text()
    assert f"install opentalk-maintenance-{version}.tar.gz" in (ROOT / "README.md").read_text()


def _version_added(module: str) -> str:
    (version,) = re.findall(
        r"^version_added: (\S+)$", (ROOT / "plugins" / "modules" / f"{module}.py").read_text(), re.M
    )
    return version


def test_tree_names_nothing_outside_itself() -> None:
    listed = run_git("ls-files", "--cached", "--others", "--exclude-standard")
    # Made of parts, so that this file may be looked at, too.
    words = ["/".join(parts) for parts in (("", "work", ""), ("..", "shared"), ("", "root", ""))]
    words += [".".join(parts) for parts in (("pypi", "org"), ("proxy", "golang"))]
    for name in listed.splitlines():
        path = ROOT / name
        if path.is_file():
            text = path.read_text(errors="replace")
            for forbidden in words:
                assert forbidden not in text, f"{name} names {forbidden}"


def run_git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_demo() -> None:
    """The README's demo command succeeds and leaves nothing running."""
    scratch = Path(tempfile.mkdtemp(prefix="opentalk-test-demo-"))
    scratch.chmod(0o755)  # the demo's PostgreSQL runs as another user when this is root
    played = subprocess.run(
        [str(ROOT / "tests" / "demo")],
        env=ansible.environment(TMPDIR=str(scratch)),
        capture_output=True,
        text=True,
        timeout=HANGS,
        check=False,
    )
    assert played.returncode == 0, played.stdout + played.stderr
    assert played.stdout.count("yes  ") == 6
    scratch.rmdir()
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(scratch).encode() in _content(path)]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # a process that has ended meanwhile
        return b""
