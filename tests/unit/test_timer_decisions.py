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
from ansible_collections.opentalk.maintenance.plugins.plugin_utils.timer_units import SCHEDULED, STATE_DIRECTORY, unit
from ansible_collections.opentalk.maintenance.plugins.plugin_utils.timer_variables import setting_problems

from support.collection import ROOT

ROLE = ROOT / "roles" / "timers"
UNITS, SETTINGS, TEXTFILES, STAMPS = "/units", "/settings", "/metrics", "/var/lib/systemd/timers"
LOGS = "/var/log/opentalk-maintenance"
VARIABLES: dict[str, Any] = {
    "role_path": "/collection/roles/timers",
    "startup_allowance": 120,
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
    "timers_wheelhouse": "",
    "timers_directory": "/versions",
    "timers_config_directory": SETTINGS,
    "timers_unit_directory": UNITS,
}
NOTHING: dict[str, Any] = {
    "user": {"rc": 1},
    "groups": [],
    "python": "3.11.2",
    "collection": {},
    "files": [],
    "marked": [],
    "running": [],
    "limits": [],
    "active": [],
    "versions": [],
    "link": {},
    "rest": [],
}


def decided(found: dict[str, Any] | None = None, **variables: Any) -> dict[str, Any]:
    """What is decided; variables of the role without their prefix."""
    given = {f"timers_{name}": value for name, value in variables.items()}
    return timer_decisions({**VARIABLES, **given}, {**NOTHING, **(found or {})})


def at(*paths: str) -> list[dict[str, str]]:
    """Paths as the module find returns them."""
    return [{"path": path} for path in paths]


def listed(*services: str) -> list[str]:
    """Lines of `systemctl list-units`."""
    return [f"{service} loaded activating start OpenTalk maintenance" for service in services]


def group(name: str, gid: str | None) -> dict[str, Any]:
    """What the module getent returns for a group."""
    return {"ansible_facts": {"getent_group": {name: gid and ["x", gid, ""]}}}


def test_the_role_gives_its_variables_and_what_its_tasks_found() -> None:
    given = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())
    assert set(given["_timers_variables"]) == set(VARIABLES) and set(given["_timers_found"]) == set(NOTHING)
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    for name, value in given["_timers_variables"].items():
        if name.startswith("timers_"):
            assert name in defaults and value == f"{{{{ {name} }}}}"


def test_no_file_of_the_role_decides_by_the_name_of_a_job() -> None:
    texts = [path.read_text() for part in ("vars", "tasks", "templates") for path in (ROLE / part).iterdir()]
    names = [name for job in SCHEDULED for name in (job, job.replace("_", "-"))]
    assert texts and [name for name in names for text in texts if name in text] == []


def test_all_jobs_are_asked_for_and_looked_for() -> None:
    known = decided()
    assert known["directories"] == [UNITS, SETTINGS, TEXTFILES, STATE_DIRECTORY, STAMPS]
    assert (
        STAMPS in decided(textfile_directory="")["directories"]
        and "" not in decided(textfile_directory="")["directories"]
    )
    for job in SCHEDULED:
        assert unit(job, "service") in known["all_services"]
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
    assert known["units"] == [*timers, unit("room_cleanup", "service"), unit("self_check", "service")]
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
    found = {"running": listed(running, other)}
    assert decided(found, jobs=jobs)["running_units"] == [f"{UNITS}/{running}"]
    for seconds, in_unit in (("720", 720), ("10", 200), ("infinity", 200)):
        known = decided({**found, "limits": [f"{UNITS}/{running}:TimeoutStartSec={seconds}"]}, jobs=jobs)
        job, beside = known["jobs"]["room_cleanup"], known["jobs"]["event_cleanup"]
        assert (job["limit"], job["limit_in_unit"], beside["limit_in_unit"]) == (200, in_unit, 200)
        assert known["lowered_later"] == ([job] if in_unit > 200 else [])


def test_timers_that_are_not_active_start_from_now() -> None:
    jobs: dict[str, Any] = {job: {} for job in ("self_check", "room_cleanup", "user_cleanup")}
    timers = [unit(job, "timer") for job in jobs]
    there = at(*(f"{STAMPS}/stamp-{timer}" for timer in timers[:2]))
    known = decided({"active": ["active", "inactive", "failed"], "files": there}, jobs=jobs)
    assert known["inactive"] == timers[1:] and known["stamps"] == [f"{STAMPS}/stamp-{timers[1]}"]
    assert decided(jobs=jobs)["inactive"] == []


def test_what_a_running_job_needs_stays_until_its_end() -> None:
    kept, gone, running = ("self_check", "room_cleanup", "user_cleanup")

    def own(job: str) -> list[str]:
        service, timer = unit(job, "service"), unit(job, "timer")
        metrics = f"{TEXTFILES}/opentalk_maintenance_{job}.prom"
        return [f"{UNITS}/{service}", f"{UNITS}/{timer}", f"{STAMPS}/stamp-{timer}", f"{SETTINGS}/{job}.yml", metrics]

    found = {
        "files": at(*own(kept), *own(gone), *own(running)),
        "running": listed(unit(running, "service"), unit(kept, "service")),
    }
    known = decided(found, jobs={kept: {}, running: {"enabled": False}})
    _service, *timer_and_stamp, _settings, _metrics = own(running)
    assert known["stopped"] == [unit(gone, "timer"), unit(running, "timer")]
    assert known["removed"] == [*own(gone), *timer_and_stamp]
    assert known["removed_later"] == [unit(running, "service")]
    assert known["forgotten"] == [unit(gone, "service")]
    found["running"] = []
    assert decided(found, state="absent")["removed"] == [*own(kept), *own(gone), *own(running)]


def test_versions_are_named_after_what_is_in_them() -> None:
    files = {"/collection/plugins/b.py": "2", "/collection/meta/a.yml": "1"}
    first = decided({"collection": files})
    assert first["collection_folders"] == ["/collection/plugins", "/collection/playbooks", "/collection/meta"]
    elsewhere = {"/other/meta/a.yml": "1", "/other/plugins/b.py": "2"}
    moved = timer_decisions({**VARIABLES, "role_path": "/other/roles/timers"}, {**NOTHING, "collection": elsewhere})
    assert (moved["collections"], moved["venv"]) == (first["collections"], first["venv"])
    for other in (
        {**files, "/collection/meta/a.yml": "3"},
        {"/collection/meta/c.yml": "1", "/collection/plugins/b.py": "2"},
    ):
        assert decided({"collection": other})["collections"] != first["collections"]
    assert decided({"python": "3.12.1"})["venv"] != first["venv"]
    assert timer_decisions({**VARIABLES, "requirements": ""}, NOTHING)["venv"] != first["venv"]

    versions = at(first["venv"], first["collections"], "/versions/venv-0123456789ab")
    assert decided({"collection": files, "versions": versions})["old_versions"] == ["/versions/venv-0123456789ab"]
    assert len(decided({"collection": files, "versions": versions}, state="absent")["old_versions"]) == 3


@pytest.mark.parametrize("target, goes", [("venv-0123456789ab", True), ("venv-of-somebody", False), (None, False)])
def test_only_a_link_of_the_role_goes_and_only_with_everything(target: str | None, goes: bool) -> None:
    found: dict[str, Any] = {"link": {"lnk_target": target} if target else {"exists": False}}
    found["rest"] = [{"item": "/versions", "files": at("/versions/current")}]
    assert decided(found)["link"] == "/versions/current" and not decided(found)["link_goes"]
    known = decided(found, state="absent")
    assert (known["link_goes"], known["emptied"]) == (goes, ["/versions"] * goes)


def test_a_directory_in_which_others_have_something_stays() -> None:
    service, version = f"{SETTINGS}/self_check.yml", "/versions/venv-0123456789ab"
    found: dict[str, Any] = {"files": at(service), "versions": at(version)}
    found["rest"] = [
        {"item": "/versions", "files": at(version)},
        {"item": SETTINGS, "files": at(service, f"{SETTINGS}/ansible.cfg")},
    ]
    assert decided(found, state="absent")["emptied"] == ["/versions", SETTINGS]
    found["rest"][1]["files"] += at(f"{SETTINGS}/notes.yml")
    assert decided(found, state="absent")["emptied"] == ["/versions"]


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
    own, others = {"marked": [f"{alert}:1", f"{rotation}:1"]}, {"marked": [f"{alert}:0", f"{rotation}:0"]}
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
        assert known["own"] == known["removed"] == [] and "settings.toml" in known["names"]
        return [known["settings_file"], known["removed_settings"], known["kept_settings"]]

    assert of_settings(found, controller_config="") == [own, [], []]
    assert of_settings(found) == ["", [own], []]
    assert of_settings({}) == ["", [], []]
    assert of_settings(found, controller_config="", state="absent") == ["", [own], []]
    found["running"] = listed(unit("room_cleanup", "service"))
    assert of_settings(found) == ["", [], [own]]
    found = {"files": at(own), "rest": [{"item": SETTINGS, "files": at(own)}]}
    assert decided(found, state="absent")["emptied"] == [SETTINGS]


def test_jobs_read_the_settings_that_the_role_writes_through_their_own_group() -> None:
    jobs: dict[str, Any] = {"room_cleanup": {}}
    known = decided(jobs=jobs, controller_config="")
    variables = known["jobs"]["room_cleanup"]["variables"]
    assert variables["opentalk_maintenance_controller_config"] == f"{SETTINGS}/settings.toml"
    assert known["groups"] == ["jobs", "exporter"] and known["supplementary_groups"] == ["exporter"]
    # It is not there before the role has written it.
    assert [use["variable"] for use in known["uses"]] == ["timers_textfile_directory"]


def test_before_the_account_is_made_files_are_tried_as_nobody() -> None:
    found = {"groups": [group("opentalk", "990"), group("jobs", None), group("exporter", None)]}
    known = decided(found)
    assert known["groups"] == ["opentalk", "jobs", "exporter"] and known["gids"] == {"opentalk": "990"}
    assert known["missing_groups"] == ["exporter"]
    assert known["supplementary_groups"] == ["opentalk", "exporter"]
    assert known["as_the_jobs"] == ["setpriv", "--reuid", "65534", "--regid", "65534", "--groups", "990", "--"]
    assert decided()["as_the_jobs"][-2] == "65534"
    # A group with another name than the user is not made.
    assert decided(found, group="others")["missing_groups"] == ["others", "exporter"]
    assert decided(found, textfile_directory="")["groups"] == ["opentalk", "jobs"]


def test_with_the_account_files_are_tried_as_the_jobs() -> None:
    found = {
        "user": {"rc": 0, "stdout": "980 981"},
        "groups": [group("opentalk", "990"), group("jobs", "980"), group("exporter", "985")],
    }
    known = decided(found)
    assert known["missing_groups"] == []
    assert known["as_the_jobs"] == ["setpriv", "--reuid", "jobs", "--regid", "980", "--groups", "990,980,985,981", "--"]
    found["groups"][1] = group("jobs", None)
    assert decided(found)["missing_groups"] == ["jobs"]


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
