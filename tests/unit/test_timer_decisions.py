# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role timers decides, without a host."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.opentalk.maintenance.plugins.filter.timer_decisions import timer_decisions
from ansible_collections.opentalk.maintenance.plugins.modules import timers_info
from ansible_collections.opentalk.maintenance.plugins.plugin_utils import timer_collection
from ansible_collections.opentalk.maintenance.plugins.plugin_utils.timer_units import SCHEDULED, STATE_DIRECTORY, unit
from ansible_collections.opentalk.maintenance.plugins.plugin_utils.timer_variables import setting_problems

from support.collection import ROOT

ROLE = ROOT / "roles" / "timers"
UNITS, SETTINGS, TEXTFILES, STAMPS = "/units", "/settings", "/metrics", "/var/lib/systemd/timers"
LOGS = "/var/log/opentalk-maintenance"
VARIABLES: dict[str, Any] = {
    "role_path": "/collection/roles/timers",
    "startup_allowance": 120,
    "account_comment": "Made by the role",
    "requirements": "ansible-core==2.19.0",
    "timers_state": "present",
    "timers_jobs": {},
    "timers_controller_config": "/etc/opentalk/controller.toml",
    "timers_settings_group": "opentalk",
    "timers_user": "jobs",
    "timers_group": "jobs",
    "timers_environment": {},
    "timers_environment_file": "",
    "timers_randomized_delay": 900,
    "timers_on_failure": "",
    "timers_alert_command": [],
    "timers_audit_log_months": 48,
    "timers_nice": 10,
    "timers_textfile_directory": TEXTFILES,
    "timers_textfile_group": "exporter",
    "timers_python": "python3",
    "platform_pythons": ["python3.11", "python3"],
    "timers_wheelhouse": "",
    "timers_directory": "/versions",
    "timers_config_directory": SETTINGS,
    "timers_unit_directory": UNITS,
}


def decided(found: dict[str, Any] | None = None, **variables: Any) -> dict[str, Any]:
    """What is decided; variables of the role without their prefix."""
    given = {f"timers_{name}": value for name, value in variables.items()}
    return timer_decisions({**VARIABLES, **given}, found)


def at(*paths: str, **facts: Any) -> dict[str, Any]:
    """Files as the module returns them."""
    return {path: facts for path in paths}


def units(state: str, *names: str, **further: str) -> dict[str, Any]:
    """Units of systemd in that state."""
    return {name: {"LoadState": "loaded", "ActiveState": state, **further} for name in names}


def test_the_role_gives_its_variables_and_the_module_takes_what_it_looks_for() -> None:
    given = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())
    assert set(given["_timers_variables"]) == set(VARIABLES)
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    for name, value in given["_timers_variables"].items():
        if name.startswith("timers_"):
            assert name in defaults and value == f"{{{{ {name} }}}}"
    options = yaml.safe_load(timers_info.DOCUMENTATION)["options"]["look_for"]["suboptions"]
    for name in ("look_for", "look_for_python"):
        assert set(decided()[name]) == set(options)


def test_no_file_of_the_role_decides_by_the_name_of_a_job() -> None:
    texts = [path.read_text() for part in ("vars", "tasks", "templates") for path in (ROLE / part).iterdir()]
    names = [name for job in SCHEDULED for name in (job, job.replace("_", "-"))]
    assert texts and [name for name in names for text in texts if name in text] == []


def test_all_jobs_are_asked_for_and_looked_for() -> None:
    known = decided()["look_for"]
    assert known["directories"] == [UNITS, SETTINGS, TEXTFILES, STATE_DIRECTORY, STAMPS]
    assert decided(textfile_directory="")["directories"] == [UNITS, SETTINGS, STATE_DIRECTORY, STAMPS]
    for job in SCHEDULED:
        assert unit(job, "service") in known["units"]
        wanted = {unit(job, "service"), unit(job, "timer"), f"stamp-{unit(job, 'timer')}", f"{job}.yml"}
        assert wanted | {f"opentalk_maintenance_{job}.prom", f"{job}.json"} <= set(known["names"])


def test_only_enabled_jobs_have_timers() -> None:
    jobs = {
        "room_cleanup": {"on_calendar": "daily"},
        "user_cleanup": {"enabled": False},
        "self_check": {"enabled": True},
    }
    known = decided(jobs=jobs)
    timers = [unit("room_cleanup", "timer"), unit("self_check", "timer")]
    assert known["timers"] == timers and list(known["jobs"]) == ["room_cleanup", "self_check"]
    assert known["services"] == [unit("room_cleanup", "service"), unit("self_check", "service")]
    assert known["look_for"]["calendars"] == {"room_cleanup": "daily", "self_check": ""}
    assert set(timers) <= set(known["look_for"]["units"])
    assert decided(jobs="wrong", state="absent")["jobs"] == {}


def test_variables_of_a_job_are_those_of_its_playbook() -> None:
    entry = {
        "timeout": 60,
        "options": {"report_limit": 3, "max_affected": 5, "audit_log": f"{LOGS}/audit.jsonl"},
        "parameters": {"days_since_last_occurrence": 30},
    }
    job = decided(jobs={"event_cleanup": entry})["jobs"]["event_cleanup"]
    assert list(job["variables"].items()) == [
        ("opentalk_maintenance_controller_config", "/etc/opentalk/controller.toml"),
        ("opentalk_maintenance_timeout", 60),
        ("opentalk_maintenance_audit_log", f"{LOGS}/audit.jsonl"),
        ("event_cleanup_max_affected", 5),
        ("opentalk_maintenance_report_limit", 3),
        ("event_cleanup_days_since_last_occurrence", 30),
    ]
    assert (job["limit"], job["limit_in_unit"]) == (180, 180)
    assert (job["makes_log_directory"], job["audit_directory"]) == (True, "")
    entry["options"] = {"audit_log": f"{LOGS}/of/others/audit.jsonl"}
    job = decided(jobs={"event_cleanup": entry})["jobs"]["event_cleanup"]
    assert (job["makes_log_directory"], job["audit_directory"]) == (False, f"{LOGS}/of/others")


def test_environment_is_quoted_for_systemd_and_sorted() -> None:
    environment = {"b": "100%h", "C": 'a "b" \\ ü', "A": 1}
    assert decided(environment=environment)["environment"] == ['"A=1"', '"b=100%%h"', r'"C=a \"b\" \\ \u00fc"']


def test_limit_of_a_running_job_is_raised_at_once_and_lowered_later() -> None:
    running, other = unit("room_cleanup", "service"), unit("adhoc_event_cleanup", "service")
    jobs = {"room_cleanup": {"timeout": 80}, "event_cleanup": {"timeout": 80}}
    for seconds, in_unit in (("720", 720), ("10", 200), ("infinity", 200), ("", 200)):
        limits = {f"{UNITS}/{unit(job, 'service')}": seconds for job in jobs}
        found = {"units": units("activating", running, other), "limits": limits}
        known = decided(found, jobs=jobs)
        job, beside = known["jobs"]["room_cleanup"], known["jobs"]["event_cleanup"]
        assert (job["limit"], job["limit_in_unit"], beside["limit_in_unit"]) == (200, in_unit, 200)
        assert known["lowered_later"] == ([job] if in_unit > 200 else []) and known["running"] == sorted(
            known["running"]
        )
        assert list(limits) == known["look_for"]["services"]


def test_timers_that_are_not_active_start_from_now() -> None:
    jobs: dict[str, Any] = {job: {} for job in ("self_check", "room_cleanup", "user_cleanup")}
    timers = [unit(job, "timer") for job in jobs]
    there = at(*(f"{STAMPS}/stamp-{timer}" for timer in timers[:2]))
    found = units("active", timers[0], UnitFileState="enabled", NeedDaemonReload="yes")
    found |= units("inactive", timers[1], UnitFileState="enabled") | units(
        "failed", timers[2], UnitFileState="disabled"
    )
    known = decided({"units": found, "files": there}, jobs=jobs)
    assert known["inactive"] == timers[1:] and known["stamps"] == [f"{STAMPS}/stamp-{timers[1]}"]
    assert known["disabled"] == timers[2:] and known["need_reload"] == timers[:1]
    assert decided(jobs=jobs)["inactive"] == decided(jobs=jobs)["disabled"] == []


def test_what_a_running_job_needs_stays_until_its_end() -> None:
    kept, gone, running = ("self_check", "room_cleanup", "user_cleanup")

    def own(job: str) -> list[str]:
        service, timer = unit(job, "service"), unit(job, "timer")
        metrics = f"{TEXTFILES}/opentalk_maintenance_{job}.prom"
        return [f"{UNITS}/{service}", f"{UNITS}/{timer}", f"{STAMPS}/stamp-{timer}", f"{SETTINGS}/{job}.yml", metrics]

    found = {
        "files": at(*own(kept), *own(gone), *own(running)),
        "units": units("activating", unit(running, "service"), unit(kept, "service")),
    }
    known = decided(found, jobs={kept: {}, running: {"enabled": False}})
    _service, *timer_and_stamp, _settings, _metrics = own(running)
    assert known["stopped"] == [unit(gone, "timer"), unit(running, "timer")]
    assert known["removed"] == [*own(gone), *timer_and_stamp]
    assert known["removed_later"] == [unit(running, "service")]
    assert known["forgotten"] == [unit(gone, "service")]
    found["units"] = units("inactive", unit(running, "service"))
    assert decided(found, state="absent")["removed"] == [*own(kept), *own(gone), *own(running)]


def test_versions_are_named_after_what_is_in_them(tmp_path: Path) -> None:
    def make(root: str, files: dict[str, str]) -> str:
        for path, text in files.items():
            file = tmp_path / root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return str(tmp_path / root / "roles" / "timers")

    def of(role_path: str, **found: Any) -> dict[str, Any]:
        return timer_decisions({**VARIABLES, "role_path": role_path}, {"pythons": {"python3": "3.11.2"}, **found})

    files = {"plugins/b.py": "2", "meta/a.yml": "1"}
    left_out = {"plugins/__pycache__/b.pyc": "", "plugins/.b.py.swp": "", "tests/c.py": "", ".git/meta": ""}
    role_path = make("one", {**files, **left_out})
    first = of(role_path)
    assert first["collection_files"] == ["meta/a.yml", "plugins/b.py"] and first["has_python"]
    assert list(timer_collection.checksums(str(tmp_path / "one"))) == first["collection_files"]
    assert first["collection_root"] == str(tmp_path / "one")
    moved = of(make("other", files))
    assert (moved["collections"], moved["venv"]) == (first["collections"], first["venv"])
    for number, other in enumerate(({**files, "meta/a.yml": "3"}, {"meta/c.yml": "1", "plugins/b.py": "2"})):
        assert of(make(str(number), other))["collections"] != first["collections"]
    assert of(role_path, pythons={"python3": "3.12.1"})["venv"] != first["venv"]
    assert timer_decisions({**VARIABLES, "requirements": ""})["venv"] != first["venv"]

    versions = {first["venv"]: True, first["collections"]: False, "/versions/venv-0123456789ab": True}
    known = of(role_path, versions=versions)
    assert known["old_versions"] == ["/versions/venv-0123456789ab"]
    assert known["has_venv"] and not known["has_environment"] and not known["has_collection"]
    there = at("/versions", owner="root", group="root", mode="0755")
    there |= at("/versions/current", target=os.path.basename(first["venv"]))
    assert of(role_path, versions=versions, files=there)["has_environment"]
    gone = timer_decisions({**VARIABLES, "timers_state": "absent"}, {"versions": versions})
    assert gone["old_versions"] == list(versions)


@pytest.mark.parametrize("target, goes", [("venv-0123456789ab", True), ("venv-of-somebody", False), (None, False)])
def test_only_a_link_of_the_role_goes_and_only_with_everything(target: str | None, goes: bool) -> None:
    found: dict[str, Any] = {"files": at("/versions/current", target=target)}
    found["entries"] = {"/versions": ["/versions/current"]}
    assert decided(found)["link"] == "/versions/current" and not decided(found)["link_goes"]
    known = decided(found, state="absent")
    assert (known["link_goes"], known["emptied"]) == (goes, ["/versions"] * goes)


def test_a_directory_in_which_others_have_something_stays() -> None:
    service, version = f"{SETTINGS}/self_check.yml", "/versions/venv-0123456789ab"
    settings = [service, f"{SETTINGS}/ansible.cfg"]
    found: dict[str, Any] = {"files": at(service), "versions": {version: True}}
    found["entries"] = {"/versions": [version], SETTINGS: settings}
    assert decided(found, state="absent")["emptied"] == ["/versions", SETTINGS]
    settings.append(f"{SETTINGS}/notes.yml")
    assert decided(found, state="absent")["emptied"] == ["/versions"]
    assert decided(state="absent")["look_for"]["entries_of"] == ["/versions", SETTINGS, STATE_DIRECTORY]


def test_units_for_failures_are_those_that_systemd_must_know() -> None:
    jobs: dict[str, Any] = {"event_cleanup": {}, "self_check": {}}
    assert decided(jobs=jobs)["on_failure_units"] == [] and decided(jobs=jobs)["jobs"]["self_check"]["on_failure"] == ""
    known = decided(jobs=jobs, on_failure="alert@%n.service mail-%N.service page.service", alert_command=["/bin/tell"])
    instances = [f"mail-{unit(job, 'service')}" for job in jobs]
    assert known["on_failure_units"] == ["alert@instance.service", *instances, "page.service"]
    assert known["jobs"]["self_check"]["on_failure"] == (
        "alert@%n.service mail-%N.service page.service opentalk-maintenance-alert@self_check.service"
    )
    quoted = decided(alert_command=["/bin/tell", 'a "b" ü $HOME 100%'])["alert_arguments"]
    assert quoted == r'"/bin/tell" "a \"b\" ü $$HOME 100%%"'


def test_unit_for_alerts_and_rotation_are_the_roles_where_its_mark_is() -> None:
    alert, rotation = f"{UNITS}/opentalk-maintenance-alert@.service", "/etc/logrotate.d/opentalk-maintenance"
    options = {"audit_log": f"{LOGS}/audit.jsonl"}
    jobs = {"event_cleanup": {"options": options}, "room_cleanup": {"options": options}, "self_check": {}}
    on: dict[str, Any] = {"jobs": jobs, "alert_command": ["/bin/tell"]}
    own, others = ({"marked": {alert: mine, rotation: mine}, "files": at(alert, rotation)} for mine in (True, False))
    assert decided()["marked_files"] == [alert, rotation]
    assert decided(**on)["rotated"] == [options["audit_log"]] and decided(**on)["foreign"] == []
    assert (decided(own, **on)["removed"], decided(own, **on)["foreign"]) == ([], [])
    assert (decided(others, **on)["removed"], decided(others, **on)["foreign"]) == ([], [alert, rotation])
    for off in ({}, {**on, "state": "absent"}):
        assert (decided(others, **off)["removed"], decided(others, **off)["foreign"]) == ([], [])
        known = decided(own, **off)
        assert known["removed"] == [alert, rotation] and known["forgotten"] == ["opentalk-maintenance-alert@*.service"]
    assert decided(own, **on, audit_log_months=0)["removed"] == [rotation]


def test_settings_of_the_inventory_are_written_and_removed() -> None:
    """At the end of the runs that may read them."""
    own, elsewhere = f"{SETTINGS}/settings.toml", f"{UNITS}/settings.toml"
    found: dict[str, Any] = {"files": at(own, elsewhere)}

    def of_settings(found: dict[str, Any], **variables: Any) -> list[Any]:
        known = decided(found, **variables)
        assert known["own"] == known["removed"] == [] and own in known["look_for"]["paths"]
        return [[file["path"] for file in known["settings"]], known["removed_settings"], known["kept_settings"]]

    assert of_settings(found, controller_config="") == [[own], [], []]
    assert of_settings(found) == [[], [own], []]
    assert of_settings({}) == [[], [], []]
    assert of_settings(found, controller_config="", state="absent") == [[], [own], []]
    found["units"] = units("activating", unit("room_cleanup", "service"))
    assert of_settings(found) == [[], [], [own]]
    found = {"files": at(own), "entries": {SETTINGS: [own]}}
    assert decided(found, state="absent")["emptied"] == [SETTINGS]


def test_jobs_read_the_settings_that_the_role_writes_through_their_own_group() -> None:
    jobs: dict[str, Any] = {"room_cleanup": {}}
    known = decided(jobs=jobs, controller_config="")
    variables = known["jobs"]["room_cleanup"]["variables"]
    assert variables["opentalk_maintenance_controller_config"] == f"{SETTINGS}/settings.toml"
    assert known["groups"] == ["jobs", "exporter"] and known["supplementary_groups"] == ["exporter"]
    # It is not there before the role has written it.
    assert [use["variable"] for use in known["uses"]] == ["timers_textfile_directory"]


def test_groups_that_are_not_there_are_named() -> None:
    found: dict[str, Any] = {"groups": {"opentalk": "990", "jobs": None, "exporter": None}}
    known = decided(found)
    assert known["groups"] == known["look_for"]["groups"] == ["opentalk", "jobs", "exporter"]
    assert known["missing_groups"] == ["exporter"] and not known["has_group"] and not known["has_account"]
    assert known["supplementary_groups"] == ["opentalk", "exporter"]
    (sentence,) = known["refused_for_now"]
    assert sentence.startswith("The group exporter is not there, and without it systemd starts no job;")
    # A group with another name than the user is not made.
    assert decided(found, group="others")["missing_groups"] == ["others", "exporter"]
    assert decided(found, textfile_directory="")["groups"] == ["opentalk", "jobs"]
    found["user"] = {"exists": True, "groups": ["980"], "comment": "Made by the role"}
    assert decided(found)["missing_groups"] == ["jobs", "exporter"]
    assert decided(found)["has_account"] and decided(found)["made_account"]


def test_what_was_found_wrong_has_a_sentence() -> None:
    jobs: dict[str, Any] = {"event_cleanup": {"on_calendar": "often"}, "self_check": {"on_calendar": "daily"}}
    alert = f"{UNITS}/opentalk-maintenance-alert@.service"
    found: dict[str, Any] = {
        "pythons": {"python3": "3.9.18", "python3.11": ""},
        "groups": {"opentalk": "1", "jobs": "2", "exporter": "3"},
        "calendars": {"event_cleanup": "Failed to parse", "self_check": ""},
        "tries": {"timers_controller_config": False, "timers_textfile_directory": True},
        "units": units("inactive", "page.service") | {"alert@instance.service": {"LoadState": "not-found"}},
        "marked": {alert: False},
    }
    known = decided(found, jobs=jobs, on_failure="alert@%n.service page.service", alert_command=["/bin/tell"])
    assert known["refused_calendars"] == ["timers_jobs.event_cleanup.on_calendar: Failed to parse."]
    python, foreign = known["refused"]
    assert python == "python3 is Python 3.9.18; name one that is 3.10 or newer with timers_python."
    assert foreign.startswith(f"{alert} is not a file of the role; rename it")
    unknown, unreadable = known["refused_for_now"]
    assert unknown.startswith(
        "timers_on_failure: systemd does not know the unit alert@.service, so nobody would be told"
    )
    assert unreadable.startswith(
        "timers_controller_config: /etc/opentalk/controller.toml is not there, or cannot be read"
    )
    assert decided({"pythons": {"python3": "3.10.0"}})["refused"] == []
    assert decided({"pythons": {"python3": ""}})["refused"] == [] and not decided()["has_python"]


def test_a_host_without_systemd_can_be_prepared() -> None:
    known = decided(jobs={"self_check": {"on_calendar": "daily"}})["look_for_python"]
    assert [known[name] for name in ("units", "calendars", "uses", "services")] == [[], {}, [], []]
    assert known["pythons"] == ["python3", "python3.11"]


def test_what_is_written_has_owner_group_and_mode() -> None:
    jobs: dict[str, Any] = {"room_cleanup": {"options": {"audit_log": f"{LOGS}/audit.jsonl"}}}
    written = decided(jobs=jobs, alert_command=["/bin/tell"])["written"]
    assert [(file["template"], file["path"], file["group"], file["mode"]) for file in written] == [
        ("ansible.cfg.j2", f"{SETTINGS}/ansible.cfg", "jobs", "0640"),
        ("variables.yml.j2", f"{SETTINGS}/room_cleanup.yml", "jobs", "0640"),
        ("job.service.j2", f"{UNITS}/{unit('room_cleanup', 'service')}", "root", "0644"),
        ("job.timer.j2", f"{UNITS}/{unit('room_cleanup', 'timer')}", "root", "0644"),
        ("alert.service.j2", f"{UNITS}/opentalk-maintenance-alert@.service", "root", "0644"),
    ]
    assert [file["timer"] for file in written if file["timer"]] == [unit("room_cleanup", "timer")]
    assert [file["is_unit"] for file in written] == [False, False, True, True, True]
    with_rotation = decided({"files": at("/etc/logrotate.d")}, jobs=jobs)["written"]
    assert with_rotation[-1]["path"] == "/etc/logrotate.d/opentalk-maintenance"
    assert decided(jobs=jobs, state="absent")["written"] == []


def test_files_that_the_jobs_use_are_tried_by_the_variable_that_names_them() -> None:
    options = {"ca_path": "/etc/ca.pem", "audit_log": "/srv/audit/log.jsonl"}
    jobs: dict[str, Any] = {
        "event_cleanup": {"options": options},
        "room_cleanup": {"options": {"audit_log": f"{LOGS}/audit.jsonl"}},
        "user_cleanup": {"enabled": False, "options": options},
    }
    known = decided(jobs=jobs, alert_command=["/bin/tell", "me"])
    uses = {use["variable"]: (" ".join(use["test"]), use["problem"]) for use in known["uses"]}
    prefix = "timers_jobs.event_cleanup.options"
    assert {name: test for name, (test, _problem) in uses.items()} == {
        "timers_controller_config": "test -f /etc/opentalk/controller.toml -a -r /etc/opentalk/controller.toml",
        "timers_alert_command": "test -f /bin/tell -a -x /bin/tell",
        "timers_textfile_directory": f"test -d {TEXTFILES} -a -w {TEXTFILES} -a -x {TEXTFILES}",
        f"{prefix}.ca_path": "test -f /etc/ca.pem -a -r /etc/ca.pem",
        f"{prefix}.audit_log": "test -d /srv/audit -a -w /srv/audit -a -x /srv/audit",
    }
    assert uses["timers_controller_config"][1].endswith("and an empty timers_controller_config.")
    problem = "/etc/ca.pem is not there, or cannot be read by jobs through the group opentalk; correct the path"
    assert uses[f"{prefix}.ca_path"][1].startswith(problem)
    problem = "the directory /srv/audit is not there, or jobs cannot write into it; make it, or correct the path"
    assert uses[f"{prefix}.audit_log"][1].startswith(problem)


@pytest.mark.parametrize(
    "name, value",
    [
        ("timers_randomized_delay", -1),
        ("timers_randomized_delay", "-1"),
        ("timers_audit_log_months", -1),
        ("timers_nice", -1),
        ("timers_nice", 20),
        ("timers_alert_command", ["mail"]),
        ("timers_alert_command", ["/bin/mail", "two\nlines"]),
        ("timers_alert_command", ["/bin/curl", "https://user:planted@example.org"]),
        *[
            ("timers_controller_config", path)
            for path in ("", "controller.toml", "/run/user/c.toml", "/var/tmp/c.toml", "/proc/c")
        ],
        *[
            (f"timers_{kind}directory", path)
            for kind in ("", "config_", "unit_", "textfile_")
            for path in ("units", "/my units", "/units/", "/a/../b", "/a/.", "/a//b", "/units%n")
        ],
        *[("timers_environment_file", path) for path in ("x.env", "/my x.env", "/a/*.env", "/a/%n.env", "-/a.env")],
        ("timers_config_directory", "/etc/opentalk"),
        ("timers_config_directory", "/etc"),
        ("timers_wheelhouse", "/nowhere"),
        ("requirements", ""),
    ],
)
def test_wrong_setting_is_named(name: str, value: Any) -> None:
    first, *_others = setting_problems({**VARIABLES, name: value})
    assert name in first


def test_good_settings_have_no_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"timers_alert_command": ["/usr/bin/mail", "-s", "A job failed", "ops@example.org"]}
    assert list(setting_problems({**VARIABLES, **told})) == []
    monkeypatch.setenv("HOME", os.fspath(tmp_path))
    good = {"timers_textfile_directory": "", "timers_randomized_delay": "0", "timers_wheelhouse": "~"}
    good |= {"timers_directory": "/opt/..a/b@1.2+c-d_e", "timers_controller_config": "/etc/home/controller.toml"}
    assert list(setting_problems({**VARIABLES, **good})) == []


def test_jobs_have_one_source_of_settings() -> None:
    none, environment = {"timers_controller_config": ""}, {"timers_environment_file": "/home/opentalk/.env"}
    (both,) = setting_problems(VARIABLES, has_settings=True)
    assert both.startswith("timers_settings and timers_controller_config are both set")
    for variables, has_settings in ((environment, False), (none, True), ({**none, **environment}, False)):
        assert list(setting_problems({**VARIABLES, **variables}, has_settings=has_settings)) == []
