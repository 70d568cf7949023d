# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  keycloak:
    description:
      - Overrides the sections C([oidc]), C([oidc.controller]) and C([user_search]) of the settings, key by key.
      - If C([user_search]) is missing, the module uses the deprecated section C([keycloak]) and warns.
      - The service account of the client needs the roles C(view-users) and C(query-users) of C(realm-management).
    type: dict
    suboptions:
      authority:
        description:
          - The realm that issues the token, such as V(https://id.example.org/realms/OPENTALK), or
            V(https://id.example.org/auth/realms/OPENTALK) if the server has C(/auth) in its path.
          - An address of another form, such as that of a reverse proxy, is asked for its OpenID configuration.
          - By default C(authority) in section C([oidc.controller]) or C([oidc]).
        type: str
      api_base_url:
        description:
          - The realm in Keycloak's admin API, such as V(https://id.example.org/admin/realms/OPENTALK).
          - By default C(api_base_url) in section C([user_search]). The C(backend) there must be C(keycloak_webapi).
        type: str
      client_id:
        description: The id of the client. By default C(client_id) in section C([user_search]) or C([oidc.controller]).
        type: str
      client_secret:
        description: The secret of the client. By default C(client_secret) in section C([user_search]) or
          C([oidc.controller]).
        type: str
      external_id_user_attribute_name:
        description:
          - The user attribute in Keycloak that holds the id by which users are matched.
          - An account without it is matched by its own id.
        type: str
  validate_certs:
    description: Whether the certificate of the server is verified.
    type: bool
    default: true
  ca_path:
    description: A file with the certificates of the authorities to trust, instead of those of the system.
    type: path
requirements:
  - python-keycloak
"""
