# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  controller_config:
    description:
      - The OpenTalk controller's settings file on the host. Name it with its whole path, because a module does not run in
        the directory in which C(ansible-playbook) was called.
      - Without it, the module looks where the controller itself does. These are C(controller.toml) and C(config.toml) in the
        working directory, then C(opentalk/controller.toml) in E(XDG_CONFIG_HOME), then C(/etc/opentalk/controller.toml).
      - Environment variables such as E(OPENTALK_CTRL_DATABASE__URL) override the file, and module options override both.
    type: path
  timeout:
    description: Seconds after which the job is stopped, at least 1. The next run goes on where it was.
    type: int
    default: 3600
  hide_duration:
    description: Whether the duration is left out of result and log, for reproducible output.
    type: bool
    default: false
"""
