# shellcheck shell=bash
#
# What `relay` and `box` beside this file have in common: settings, the state
# directory and its lock, ports. Sourced by both.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd) || exit 1
home=${RELAY_HOME:-./.relay}
port=${RELAY_PORT:-8080}
nginx=${RELAY_NGINX:-nginx}
module=${RELAY_MODULE:-$root/build/ngx_relay_module.so}
detach=${DETACH:-}
[ "$detach" != 0 ] || detach=

# As root, workers run as www-data and cannot look into RELAY_HOME.
# shellcheck disable=SC2034 # used by those who source this
worker_user=www-data
# shellcheck disable=SC2034
worker_group=www-data
# shellcheck disable=SC2034
getent passwd www-data >/dev/null || { worker_user=nobody; worker_group=nogroup; }

say() {
    printf 'relay: %s\n' "$*"
}

die() {
    [ -z "${supervising:-}" ] || failed "$@"
    printf 'relay: %s\n' "$*" >&2
    exit 1
}

absolute_home() {
    case $home in
        /*) ;;
        *) home=$PWD/${home#./} ;;
    esac
    while [[ $home == ?*/ ]]; do home=${home%/}; done
}

# check_port_number NAME VALUE
check_port_number() {
    if ! [[ $2 =~ ^[1-9][0-9]{0,4}$ ]] || (($2 > 65535)); then
        die "$1=$2 is not a port number (1 to 65535)"
    fi
}

check_common_settings() {
    check_port_number RELAY_PORT "$port"

    case $root$home in
        *[\"\\*?[]* | *$'\n'*)
            die "nginx cannot read files under this path: $root, $home" \
                '(it has a quote, backslash, line break or one of * ? [ in it)'
            ;;
    esac

    command -v "$nginx" >/dev/null || die "$nginx is not installed; run: make deps"

    [ "$module" = static ] || [ -r "$module" ] ||
        die "$module does not exist; run: make build"
}

make_home() {
    local why
    why=$(umask 022 && mkdir -p "$home" 2>&1) || die "cannot create RELAY_HOME=$home (${why##*: })"

    [ -O "$home" ] ||
        die "RELAY_HOME=$home belongs to $(stat -c %U "$home"), not to $(id -un);" \
            'use another RELAY_HOME'

    chmod 700 "$home" 2>/dev/null
    why=$({ mkdir -p "$home/logs" "$home/tmp" && chmod 700 "$home/logs" &&
        : >"$home/tmp/writable" && rm "$home/tmp/writable"; } 2>&1) ||
        die "cannot write to RELAY_HOME=$home (${why##*: })"
}

take_lock() {
    exec 9>>"$home/lock" || die "cannot write to $home/lock"

    flock -n 9 ||
        die "already running in $home$(where_running); stop it with: make stop," \
            'or choose another RELAY_HOME and RELAY_PORT'
}

where_running() {
    [ -r "$home/port" ] && printf ' on port %s' "$(<"$home/port")"
}

ipv6_works() {
    [ -s /proc/net/if_inet6 ]
}

answers() { # answers ADDRESS PORT: whether something accepts connections there
    (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null
}

# Tried as nginx will do it: finds sockets that are bound but not listening, too.
check_port() { # check_port PORT NAME
    local port=$1
    local families=AF_INET complaint
    ipv6_works && families='AF_INET AF_INET6'

    # shellcheck disable=SC2016,SC2086 # perl's variables; two words
    complaint=$(perl -MSocket=:all -e '
        my ($port, @families) = @ARGV;
        for my $family (@families) {
            my $v6 = $family eq "AF_INET6";
            socket(my $s, $v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0) or next;
            setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1);
            setsockopt($s, IPPROTO_IPV6, IPV6_V6ONLY, 1) if $v6;
            bind($s, $v6 ? pack_sockaddr_in6($port, IN6ADDR_ANY)
                         : pack_sockaddr_in($port, INADDR_ANY))
                && listen($s, 1) or print($!{EACCES} ? "denied" : "taken"), exit;
        }' "$port" $families 9>&-)

    case $complaint in
        taken)
            die "port $port is taken by another program;" \
                "choose another: make run $2=9000"
            ;;
        denied) die "port $port may not be used by $(id -un); ports under 1024 are root's" ;;
    esac
}

# How many connections a worker may have, as far as this user's limits go.
open_files() {
    local files
    ulimit -n "$(ulimit -H -n)" 2>/dev/null
    files=$(ulimit -n)
    [[ $files =~ ^[0-9]+$ ]] && ((files < 8192)) || files=8192
    printf '%s' "$files"
}

call_nginx() {
    "$nginx" -p "$home/" -c "$home/nginx.conf" "$@" </dev/null
}

# The lock first: a process id alone may be somebody else's by now.
alive() {
    [ -e "$home/lock" ] || return 1
    exec 9>>"$home/lock" || die "RELAY_HOME=$home is not readable by $(id -un)"
    ! flock -n 9
}
