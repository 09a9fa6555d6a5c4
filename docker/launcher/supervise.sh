# shellcheck shell=bash
#
# Keeps the parts running: started in order, started again when they end, later
# each time, and stopped in the reverse order. Sourced by `box`.
#
# Each part is told to end when this process is gone, however that happens.
# Processes are known by number and start time: a number alone may be somebody
# else's by now.
#
# While signals are caught, this shell itself expands no $(command): bash 5.2 takes
# a trap that comes meanwhile for the end of the command, and loses it. Subshells
# may, they catch nothing.
#
# shellcheck disable=SC2154 # settings are in `box`

declare -A child=() # name → process
declare -A again=() # process of a pause → name of the part to start after it
declare -A pause=() # name → seconds
declare -A since=() # name → when it was started
names=(postgres redis relayd nginx)
nginx_groups=() # workers outlive a master that was killed
stopping=0      # how often we were asked to

declare -A farewell=([nginx]=QUIT [relayd]=TERM [redis]=TERM [postgres]=INT)
declare -A insisting=([nginx]=TERM [relayd]=KILL [redis]=KILL [postgres]=QUIT)

supervise() {
    local name

    # The lock is ours already, or inherited from `start`.
    [ -e /proc/self/fd/9 ] || take_lock
    check_settings
    # Until all runs, a signal just ends us, and with us the parts; not if we are
    # the first process, which the kernel then does not let hear it.
    [ $$ -ne 1 ] || trap ask_to_stop INT TERM HUP
    supervising=1
    mkdir -p "$home/pids" || die "cannot write to $home"
    remember box $$
    find_private_engines

    make_places
    make_keys
    prepare_postgres
    prepare_redis

    for name in "${names[@]}"; do
        [ $stopping -eq 0 ] || break
        case $name in
            relayd) make_database; bootstrap ;;
            nginx) write_config; check_config ;;
        esac
        launch "$name"
        await "$name" 30
    done
    await_configuration
    [ -n "${DETACHED:-}" ] || [ $stopping -gt 0 ] || (banner)

    trap ask_to_stop INT TERM HUP
    : >"$home/ready"
    [ -n "${DETACHED:-}" ] || printf '\nLogs are in %s. Ctrl-C stops.\n' "$home/logs"
    watch
    shut_down
    say stopped
}

# Engines of yours are not ours to run.
find_private_engines() {
    local name wanted=()

    for name in "${names[@]}"; do
        case $name in
            postgres) [ -z "${RELAY_PG_DSN:-}" ] || continue ;;
            redis) [ -z "${RELAY_REDIS_URL:-}" ] || continue ;;
        esac
        wanted+=("$name")
    done
    names=("${wanted[@]}")
}

# Before there is a supervisor, `die` is enough.
failed() {
    printf '%s\n' "$*" >"$home/failed"
    printf 'relay: %s\n' "$*" >&2
    # shellcheck disable=SC2034 # `die` looks at it
    supervising=
    shut_down
    exit 1
}

# ---- processes ---------------------------------------------------------------

start_time() { # start_time PROCESS: fails if there is none
    local text
    text=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    # shellcheck disable=SC2086 # words; behind the name, which may have anything in it
    set -- ${text##*) }
    [ "$1" != Z ] && printf %s "${20}"
}

remember() { # remember NAME PROCESS
    printf '%s %s\n' "$2" "$(start_time "$2")" >"$home/pids/$1"
}

recall() { # recall NAME: its process, if it is still that one
    local pid began
    read -r pid began <"$home/pids/$1" || return 1
    [ -n "${began:-}" ] && [ "$(start_time "$pid")" = "$began" ] && printf %s "$pid"
} 2>/dev/null

# How long its logs are now: what comes behind is of this start.
mark_logs() { # mark_logs NAME
    local log
    for log in "$1" error; do
        stat -c %s "$home/logs/$log.log" 2>/dev/null || printf '0\n'
    done >"$home/pids/.$1"
}

log_since() { # log_since NAME [error]
    local own errors
    { read -r own; read -r errors; } 2>/dev/null <"$home/pids/.$1"
    if [ -n "${2:-}" ]; then
        tail -c "+$((${errors:-0} + 1))" "$home/logs/error.log" 2>/dev/null
    else
        tail -c "+$((${own:-0} + 1))" "$home/logs/$1.log" 2>/dev/null
    fi
}

launch() { # launch NAME
    local name=$1

    mark_logs "$name"
    (cd / && "run_$name" </dev/null >>"$home/logs/$name.log" 2>&1) &
    child[$name]=$!
    since[$name]=$SECONDS
    [ "$name" != nginx ] || nginx_groups+=("$!")
    (remember "$name" $!)
}

# The last that it wrote since it was started.
last_words() {
    local name=$1 text=''

    [ "$name" != nginx ] || text=$(log_since nginx error | grep -E '\[(emerg|alert|crit)\]' |
        grep -v 'still could not' | tail -n 1)
    [ -n "$text" ] || text=$(log_since "$name" | grep . | tail -n 3)
    printf %s "${text:-no word why in $home/logs/$name.log}" | cut -c 1-500
}

await() { # await NAME SECONDS
    local name=$1 until=$((SECONDS + $2))

    while [ $stopping -eq 0 ]; do
        "${name}_up" && return
        kill -0 "${child[$name]}" 2>/dev/null || failed "$name did not start: $(last_words "$name")"
        [ $SECONDS -lt $until ] || failed "$name is not ready after $2 s: $(last_words "$name")"
        sleep 0.05
    done
}

# ---- running -----------------------------------------------------------------

ask_to_stop() {
    ((stopping += 1))
    [ $stopping -gt 1 ] || { printf '\n'; say 'stopping; once more to stop at once'; }
}

# `wait` only wakes us, be it at the next tick: of several that end at once it
# may name one, and a signal may come just before it.
watch() {
    local tick='' ticks=0

    while [ $stopping -eq 0 ]; do
        if [ -z "$tick" ] || ! kill -0 "$tick" 2>/dev/null; then
            sleep 2 9>&- &
            tick=$!
            [ $((ticks++ % 30)) -ne 0 ] || bound_logs
        fi
        wait -n 2>/dev/null
        [ $stopping -gt 0 ] || look_after
    done
    kill "$tick" 2>/dev/null
}

# What has ended is started again after a pause, and pauses that are over end.
look_after() {
    local name pid

    for name in "${names[@]}"; do
        pid=${child[$name]:-}
        if [ -n "$pid" ] && ! kill -0 "$pid" 2>/dev/null; then
            wait "$pid" 2>/dev/null
            restart_later "$name" $?
        fi
    done
    for pid in "${!again[@]}"; do
        if ! kill -0 "$pid" 2>/dev/null; then
            name=${again[$pid]}
            unset "again[$pid]"
            launch "$name"
        fi
    done
}

# Half a second, twice as long each time, half a minute at most; anew after a
# minute without trouble.
restart_later() { # restart_later NAME STATUS
    local name=$1 tenths

    [ $((SECONDS - since[$name])) -lt 60 ] || pause[$name]=
    tenths=${pause[$name]:-5}
    pause[$name]=$((tenths * 2 > 300 ? 300 : tenths * 2))

    # Workers without a master hold its ports; they finish their streams.
    [ "$name" != nginx ] || kill -QUIT -- "-${child[nginx]}" 2>/dev/null
    child[$name]=
    (say "$name ended ($(ending "$2")), is started again in $((tenths / 10)).$((tenths % 10)) s:" \
        "$(last_words "$name")" >&2)
    sleep "$((tenths / 10)).$((tenths % 10))" 9>&- &
    again[$!]=$name
}

ending() { # of an exit status as the shell has it
    if [ "$1" -gt 128 ]; then printf 'signal %s' "$(kill -l "$1")"; else printf 'status %s' "$1"; fi
}

# They are open for appending, so they may be cut while they are written to.
bound_logs() {
    # shellcheck disable=SC2016 # of the shell that find starts
    find "$home/logs" -name '*.log' -size "+$((log_mb * 2048))" \
        -exec sh -c 'cp "$1" "$1.1" && : >"$1"' sh {} \; 9>&-
}

# ---- stopping ----------------------------------------------------------------

# Who depends on something goes before it.
shut_down() {
    local i

    trap '((stopping += 1))' INT TERM HUP
    [ $stopping -gt 0 ] || stopping=1
    rm -f "$home/ready"

    for ((i = ${#names[@]} - 1; i >= 0; i--)); do
        end_child "${names[i]}"
    done
    [ ${#again[@]} -eq 0 ] || kill "${!again[@]}" 2>/dev/null
    tidy
}

end_child() {
    local name=$1 pid=${child[$1]:-} until_s=$((SECONDS + 15))

    [ "$name" != nginx ] || until_s=$((SECONDS + stop_after_s))
    tell "$name" "${farewell[$name]}"
    while remains "$name"; do
        if [ $stopping -gt 1 ] || [ $SECONDS -ge $until_s ]; then
            insist "$name"
            break
        fi
        sleep 0.05
    done

    [ -z "$pid" ] || wait "$pid" 2>/dev/null
    child[$name]=
    rm -f "$home/pids/$name"
}

tell() { # tell NAME SIGNAL
    local group

    [ -z "${child[$1]:-}" ] || kill "-$2" "${child[$1]}" 2>/dev/null
    [ "$1" = nginx ] || return 0
    for group in "${nginx_groups[@]}"; do
        [ "$group" = "${child[nginx]:-}" ] || kill "-$2" -- "-$group" 2>/dev/null
    done
}

remains() { # remains NAME
    local group

    [ -z "${child[$1]:-}" ] || ! kill -0 "${child[$1]}" 2>/dev/null || return 0
    [ "$1" = nginx ] || return 1
    for group in "${nginx_groups[@]}"; do
        ! kill -0 -- "-$group" 2>/dev/null || return 0
    done
    return 1
}

insist() { # insist NAME
    local name=$1 tries group

    tell "$name" "${insisting[$name]}"
    for ((tries = 0; tries < 60; tries++)); do
        remains "$name" || return
        sleep 0.05
    done
    say "$name does not end: it is killed" >&2
    tell "$name" KILL
    [ "$name" != nginx ] || for group in "${nginx_groups[@]}"; do kill -KILL -- "-$group" 2>/dev/null; done
}

# What the parts leave if they are killed.
tidy() {
    rm -rf "$home/pids" "$home/ready" "$home/nginx.pid"
    [ ! -O "$sockets" ] || rm -rf "$sockets"
}
