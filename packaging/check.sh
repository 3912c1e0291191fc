#!/usr/bin/env bash
# Plays every command of README.md in a plain folder: check.sh GRAIL. Nothing outside that folder is changed, and nothing but
# this machine is spoken to: a served world stands for the network. Other users' files need root; without it that is said.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
grail=$(readlink -f "${1:?usage: check.sh GRAIL}")
root=$(mktemp -d) skipped=0 played=0
pids=()
clean() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
    rm -rf "$root"
}
trap clean EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
skip() { echo "skipped: $1 ($2)"; skipped=$((skipped + 1)); }
expect() { grep -qE -- "$1" "$2" || { cat "$2" >&2; fail "$3: no line matches $1"; }; }
is_root=$([ "$(id -u)" = 0 ] && echo yes || true)
# The user who owns the wallets, and the one that useradd makes.
host_user=1000 service_user=10001
[ -n "$is_root" ] || host_user=$(id -u) service_user=$(id -u)
# Sets `become` to the words before a command that another user is to run.
become() { become=(); [ -z "$is_root" ] || become=(setpriv --reuid "$1" --regid "$1" --clear-groups); }
give() { [ -z "$is_root" ] || chown -R "$1:$1" "$2"; }

# A world on this machine, a home folder with its wallet, and .env.example filled in.
chmod 755 "$root"
mkfifo "$root/input"
: >"$root/served"
sleep infinity >"$root/input" & pids+=($!)
"$grail" sim serve --dir "$root/world" --block-time 0.5 <"$root/input" >"$root/served" 2>&1 & pids+=($!)
for _ in $(seq 600); do grep -q 'Start it with' "$root/served" && break; sleep 0.1; done
expect 'Start it with' "$root/served" "grail sim serve"
home=$root/home/miner
mkdir -p "$home/.bittensor/wallets/default/hotkeys"
cp "$root/world/wallets/served/hotkeys/miner" "$home/.bittensor/wallets/default/hotkeys/default"
chmod 700 "$home/.bittensor" "$home/.bittensor/wallets" "$home/.bittensor/wallets/default" "$home/.bittensor/wallets/default/hotkeys"
chmod 600 "$home/.bittensor/wallets/default/hotkeys/default"
while IFS= read -r line; do
    case $line in
        '#'* | '' | BT_WALLET_*) echo "$line" ;;
        *)
            given=$(sed -n "s/^${line%%=*}=//p" "$root/world/.env")
            echo "${line%%=*}=${given:-${line#*=}}"
            ;;
    esac
done <"$here/../.env.example" >"$root/.env"
chmod 600 "$root/.env"
give "$host_user" "$root/home"
give "$host_user" "$root/.env"

# Starts a miner, waits until it mines, and stops it as a supervisor does.
mines() {
    local name=$1 log=$root/mined code=0
    shift
    # Here, since the next loop may look before the new process has emptied it.
    : >"$log"
    "$@" >"$log" 2>&1 &
    local pid=$!
    pids+=("$pid")
    for _ in $(seq 600); do
        grep -q 'mining as' "$log" && break
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    expect 'mining as' "$log" "$name"
    kill -TERM "$pid"
    wait "$pid" || code=$?
    [ "$code" = 0 ] || { cat "$log" >&2; fail "$name: ended with $code"; }
}

# `docker run` by its words: the image's environment, the files that are mounted, the entry, and the user.
image() {
    local user='' file='' environment=() arguments=() mounts=() line pair mount
    while [ $# -gt 0 ]; do
        case $1 in
            --rm | --gpus=*) shift ;;
            --gpus | --name) shift 2 ;;
            --env-file) file=$2; shift 2 ;;
            --user) user=$2; shift 2 ;;
            -v) mounts+=("$2"); shift 2 ;;
            grail) shift; arguments=("$@"); break ;;
            *) fail "docker run $1 is not played" ;;
        esac
    done
    local image=$root/image
    rm -rf "$image" && mkdir -p "$image/usr/local/bin" "$image/var/lib/grail"
    cp "$grail" "$image/usr/local/bin/grail"
    cp "$here/entrypoint.sh" "$image/usr/local/bin/grail-entrypoint"
    chmod 1777 "$image/var/lib/grail"
    [ -z "$is_root" ] || chown 10001:10001 "$image/var/lib/grail"
    while read -r pair; do environment+=("${pair%%=*}=$(sed "s#^/#$image/#" <<<"${pair#*=}")"); done \
        < <(sed -n 's/^ENV //p' "$here/Dockerfile" | tr ' ' '\n')
    # As it stands: no quotation mark is taken off.
    [ -z "$file" ] || while IFS= read -r line; do environment+=("$line"); done < <(grep -vE '^(#|$)' "$file")
    for mount in "${mounts[@]}"; do
        local from=${mount%%:*} to=${mount#*:}
        to=$image${to%:ro}
        # A named volume is the image's own folder.
        [[ $from != /* ]] || { mkdir -p "$(dirname "$to")" && cp -a "$from" "$to"; }
    done
    arguments=("${arguments[@]/#\/etc\//$image/etc/}")
    cd "$image/var/lib/grail"
    local entry=(env -i "PATH=$PATH" "IMAGE_ROOT=$image" "${environment[@]}" "$image/usr/local/bin/grail-entrypoint")
    [ -z "$user" ] || { become "${user%%:*}"; entry=("${become[@]}" "${entry[@]}"); }
    case ${arguments[0]} in
        mine) mines "docker run" "${entry[@]}" "${arguments[@]}" -v --device cpu --groups-max 1 ;;
        doctor)
            "${entry[@]}" "${arguments[@]}" --device cpu >"$root/doctor" 2>&1 || { cat "$root/doctor" >&2; fail "docker run … doctor"; }
            expect '^ +ok +wallet.hotkey' "$root/doctor" "docker run … doctor"
            ;;
        *) fail "docker run … ${arguments[0]} is not played" ;;
    esac
    cd "$root"
}

# The unit's command as its user, with its environment, in the folder.
service() {
    local unit=$root/etc/systemd/system/grail.service command environment
    read -ra command < <(sed -n 's/^ExecStart=//p' "$unit" | sed "s# /# $root/#g; s#^/#$root/#")
    read -ra environment < <(sed -n 's/^Environment=//p' "$unit" | sed "s#=/#=$root/#g")
    install -d -m 700 "$root/var/cache/grail" && give "$service_user" "$root/var/cache/grail"
    become "$service_user"
    mines "grail.service" "${become[@]}" env -i "PATH=$PATH" "${environment[@]}" "${command[@]}" -v --device cpu --groups-max 1
}

play() {
    local line=$1
    case $line in
        'cargo build '*) skip "$line" "$grail is taken" ;;
        'grail completions '* | 'grail man '*)
            local target=$root${line##* }
            mkdir -p "$(dirname "$target")"
            eval "$(sed "s#^grail#'$grail'#; s# /# $root/#" <<<"$line")"
            [ -s "$target" ] || [ -n "$(ls -A "$target" 2>/dev/null)" ] || fail "$line wrote nothing"
            ;;
        'useradd '*) skip "$line" "its id is played" ;;
        'install '*)
            [ -n "$is_root" ] || { skip "$line" "not root"; return; }
            eval "$(sed "s# /# $root/#g; s#target/release/grail#'$grail'#; s#packaging/#$here/#; s# \.env# $root/.env#
                s#~/#$home/#; s#-o grail -g grail#-o $service_user -g $service_user#" <<<"$line")"
            ;;
        'systemctl daemon-reload')
            if systemd-analyze --version >/dev/null 2>&1; then
                # The program is not installed where the unit looks for it.
                systemd-analyze verify "$here/grail.service" 2>&1 | grep -v 'is not executable' >"$root/verified" || true
                [ ! -s "$root/verified" ] || { cat "$root/verified" >&2; fail "systemd-analyze verify grail.service"; }
            else
                skip "$line" "no systemd-analyze"
            fi
            ;;
        'systemctl enable '*) if [ -n "$is_root" ]; then service; else skip "$line" "not root"; fi ;;
        'docker run '*)
            local words
            words=$(sed "s#\"\$HOME/#\"$home/#g; s#\"\$PWD/#\"$root/#g; s#--env-file .env#--env-file $root/.env#
                s#\"\$(id -u):\$(id -g)\"#$host_user:$host_user#; s#^docker run##" <<<"$line")
            eval "image $words"
            # Wallets of root, whom the process then is without his privileges.
            [ -z "$is_root" ] || [[ $line == *--user* ]] || { give 0 "$home"; give 0 "$root/.env"; eval "image $words"; }
            give "$host_user" "$home"
            give "$host_user" "$root/.env"
            ;;
        'docker build '* | 'docker exec '* | 'docker stop '*) skip "$line" "needs a container engine" ;;
        *) fail "no step plays: $line" ;;
    esac
    played=$((played + 1))
}

cd "$root"
while IFS= read -r line; do
    echo "== $line"
    play "$line" </dev/null
done < <(awk '/^```sh$/ { on = 1; next } /^```/ { on = 0 } on' "$here/README.md")
[ "$played" -ge 20 ] || fail "README.md has $played commands; its sh blocks were not found"
echo "$played commands played, $skipped of them not here"
