# just: the commands that are typed daily. `just` lists them.

_list:
    @just --list

# Formatting and lints, as CI checks them.
check:
    cargo fmt --check
    cargo clippy --locked --all-targets -- -D warnings

# Every test; a name filters: `just test demo::`.
test *FILTER:
    cargo test --locked -- {{ FILTER }}

# Everything that CI runs, the real peers included.
ci:
    .ci/run

# Take the configuration cases' output for right; look at the difference before you commit it.
snap:
    UPDATE_EXPECTED=1 cargo test --locked --test it -- config:: broken:: codes::
    git diff --stat -- tests/config tests/broken docs/codes

# docs/reference.md, schema/ and docs/cmp-api.md, from the program itself and the shipped configuration.
reference:
    UPDATE_EXPECTED=1 cargo test --locked --test it -- authoring::the_reference the_committed_schemas cmp_api::the_page

# The shipped pack, checked.
pack:
    OS_PASSWORD=x cargo run --quiet -- validate-config --config . --deny-warnings

# The relay over simulated backends, with lines to try.
demo *ARGS:
    cargo run --quiet -- demo {{ ARGS }}
