"""A check for schemathesis beside its own: no 5xx is of the relay's own making.

Loaded by SCHEMATHESIS_HOOKS=conformance. A 502 or 504 that repeats what a backend answered is the
backend's, and `no_backend` is the answer to a request for what is not configured. Anything else at 500 or
above is the relay's own failure.
"""

import schemathesis

NOT_THE_RELAYS = {"backend_error", "backend_auth", "no_backend"}


@schemathesis.check
def no_failure_of_the_relays_own(ctx, response, case):
    if response.status_code < 500:
        return None
    problem = response.json()
    code = problem.get("code")
    of_backend = code == "outcome_unknown" and "backend_status" in problem
    if code not in NOT_THE_RELAYS and not of_backend:
        raise AssertionError(f"{response.status_code} {code}: {problem.get('detail')}")
    return None
