# shellcheck shell=bash
#
# The parts of the box, each in the same way: prepare_NAME, run_NAME (becomes the
# program) and NAME_up (does it answer?). Sourced by `box`, which has the settings.
#
# shellcheck disable=SC2154

# ---- accounts ----------------------------------------------------------------

# as ACCOUNT COMMAND...: as that account if we are root, as ourselves if not; told
# by the signal DEATH when this process is gone; in a session of its own, since
# Ctrl-C shall reach this process alone.
as() {
    local account=$1
    shift

    if [ "$(id -u)" -ne 0 ]; then
        exec setsid setpriv --pdeathsig "${DEATH:-TERM}" -- "$@"
    fi
    case $account in
        postgres) set -- --reuid=postgres --regid=postgres --init-groups -- "$@" ;;
        redis) set -- --reuid=redis --regid="$worker_group" --clear-groups -- "$@" ;;
        relayd) set -- --reuid=nobody --regid="$worker_group" --clear-groups -- "$@" ;;
        root) set -- -- "$@" ;;
    esac
    exec setsid setpriv --pdeathsig "${DEATH:-TERM}" "$@"
}

# Provider keys and other secrets in our environment are for relayd alone.
clean_environment() { # clean_environment NAME...: which stay
    local name

    for name in $(compgen -e); do
        case " PATH TZ LANG SSL_CERT_FILE SSL_CERT_DIR $* " in
            *" $name "*) ;;
            *) [[ $name == *SAN_OPTIONS ]] || unset "$name" ;;
        esac
    done
}

# own ACCOUNT FOLDER...: private to it.
own() {
    local account=$1
    shift
    { mkdir -p "$@" && chmod 700 "$@"; } || failed "cannot create $*"
    [ "$(id -u)" -ne 0 ] || chown "$account" "$@" || failed "cannot give $* to $account"
}

make_places() {
    mkdir -p "$state" "$keys" || failed "cannot create $state"
    mkdir -p "$sockets"
    if [ ! -O "$sockets" ] || [ -L "$sockets" ]; then
        failed "$sockets belongs to $(stat -c %U "$sockets"), not to $(id -un)"
    fi
    chmod 700 "$keys" "$sockets"

    if [ "$(id -u)" -eq 0 ]; then
        chmod 711 "$state" "$sockets"
        own postgres "$sockets/postgres"
        own redis "$state/redis" "$sockets/redis"
        own nobody "$sockets/relayd"
        own "$worker_user" "$state/workers"
        # Each of them is opened to those who connect.
        chmod 711 "$sockets/postgres" "$sockets/redis" "$sockets/relayd"
    else
        own '' "$state/redis" "$state/workers" "$sockets/postgres" "$sockets/redis" "$sockets/relayd"
    fi
}

# ---- keys --------------------------------------------------------------------

random_text() {
    head -c 24 /dev/urandom | base64 | tr '+/' '-_'
}

private() { # private FILE TEXT
    { printf '%s\n' "$2" >"$1.new" && mv "$1.new" "$1"; } || failed "cannot write $1"
} 2>/dev/null

make_keys() {
    local said file
    said=$("$relayd" --generate-keys "$keys" 2>&1 9>&-) || failed "cannot make keys: $said"

    for file in "$keys/postgres_password" "$keys/redis_password" "$home/setup_token"; do
        [ -s "$file" ] || private "$file" "$(random_text)"
    done
}

# ---- Postgres ----------------------------------------------------------------

# Debian keeps the server's programs apart, one folder for each version; what one
# wrote, no other reads.
find_postgres() {
    local made found
    made=$(cat "$state/postgres/PG_VERSION" 2>/dev/null)
    found=$(find /usr/lib/postgresql -maxdepth 2 -path "*/${made:-*}/bin" 2>/dev/null |
        sort -V | tail -n 1)
    [ -n "$found" ] || found=$(dirname "$(command -v postgres)")
    postgres_bin=$found

    [ -n "$made" ] || [ -x "$postgres_bin/postgres" ] ||
        die 'postgres is not installed; run: make deps, or set RELAY_PG_DSN'
    [ -z "$made" ] || [[ $("$postgres_bin/postgres" --version 2>&1) == *" $made."* ]] ||
        die "the database in $state/postgres was made by PostgreSQL $made, which is not here;" \
            "run: apt-get install postgresql-$made, or move it to another one and set RELAY_PG_DSN"
}

quoted() { # quoted TEXT: as a value in a connection string
    local text=${1//\\/\\\\}
    printf "'%s'" "${text//\'/\\\'}"
}

prepare_postgres() {
    [ -z "${RELAY_PG_DSN:-}" ] || return 0

    pg_dsn="host=$(quoted "$sockets/postgres") user=relay dbname=relay"
    pg_dsn+=" password=$(<"$keys/postgres_password")"
    [ -s "$state/postgres/PG_VERSION" ] || make_cluster
}

# Made beside its place, so that there is never half of one.
make_cluster() {
    local said file=$sockets/postgres/password

    say 'making a database'
    private "$file" "$(<"$keys/postgres_password")"
    [ "$(id -u)" -ne 0 ] || chown postgres "$file"
    rm -rf "$state/postgres.new" "$state/postgres.made"
    own postgres "$state/postgres.new"

    said=$(cd / && clean_environment && as postgres "$postgres_bin/initdb" -D "$state/postgres.new" \
        -E UTF8 --locale=C.UTF-8 --username=relay_owner --auth=scram-sha-256 --pwfile="$file" \
        --no-sync --no-instructions 2>&1 9>&- </dev/null) ||
        failed "initdb: $(tail -n 3 <<<"$said")"
    rm -f "$file"
    rmdir "$state/postgres" 2>/dev/null
    { [ ! -e "$state/postgres" ] && mv "$state/postgres.new" "$state/postgres"; } ||
        failed "cannot make $state/postgres"
    sync -f "$state"
}

run_postgres() {
    clean_environment
    DEATH=INT as postgres "$postgres_bin/postgres" -D "$state/postgres" \
        -c listen_addresses= -c unix_socket_directories="\"$sockets/postgres\"" \
        -c unix_socket_permissions=0777 -c max_connections=60 -c shared_buffers=64MB \
        -c max_wal_size=256MB -c logging_collector=off -c log_min_messages=warning \
        -c log_statement=none -c log_min_error_statement=panic \
        -c log_parameter_max_length_on_error=0
}

postgres_up() {
    (clean_environment && "$postgres_bin/pg_isready" -q -h "$sockets/postgres" -d postgres) 9>&-
}

# relayd is not the cluster's superuser: row-level security would not hold it.
make_database() {
    local said
    [ -z "${RELAY_PG_DSN:-}" ] && [ ! -e "$state/postgres.made" ] || return 0

    said=$(clean_environment
        export PGPASSWORD PGOPTIONS='-c client_min_messages=warning'
        PGPASSWORD=$(<"$keys/postgres_password")
        "$postgres_bin/psql" -X -q -v ON_ERROR_STOP=1 -h "$sockets/postgres" -U relay_owner \
            -d postgres 2>&1 9>&- <<END
DROP DATABASE IF EXISTS relay;
DROP ROLE IF EXISTS relay;
CREATE ROLE relay LOGIN CREATEROLE PASSWORD '$PGPASSWORD';
CREATE DATABASE relay OWNER relay;
END
    ) || failed "psql: $(grep -v PASSWORD <<<"$said" | tail -n 3)"
    : >"$state/postgres.made"
}

# ---- Redis -------------------------------------------------------------------

prepare_redis() {
    [ -z "${RELAY_REDIS_URL:-}" ] || return 0

    redis_url=unix:$sockets/redis/redis.sock
    private "$home/redis.conf" "port 0
unixsocket \"$sockets/redis/redis.sock\"
unixsocketperm 777
dir \"$state/redis\"
daemonize no
save 300 1
appendonly no
maxmemory-policy noeviction
requirepass $(<"$keys/redis_password")"
}

# The configuration has a password: it is handed over, not readable by its name.
run_redis() {
    clean_environment
    as redis redis-server - <"$home/redis.conf"
}

redis_up() {
    [ -S "$sockets/redis/redis.sock" ] &&
        REDISCLI_AUTH=$(<"$keys/redis_password") redis-cli -s "$sockets/redis/redis.sock" ping \
            2>/dev/null 9>&- | grep -q PONG
}

# ---- relayd ------------------------------------------------------------------

# Secrets are in relayd's environment alone, which it closes to other processes.
relayd_settings() {
    local name
    for name in $(compgen -e | grep -E \
        '^RELAY_(.*_FILE|HOME|PORT|ADMIN_PORT|ADMIN_ADDRESS|NGINX|MODULE|RELAYD|RESET|LOG_MB|STOP_AFTER_S)$'); do
        [ "$name" = RELAY_REDIS_CA_FILE ] || unset "$name"
    done
    [ -n "${RELAY_PG_DSN:-}" ] || for name in $(compgen -e PG); do unset "$name"; done

    if [ -n "${redis_url:-}" ]; then
        unset RELAY_REDIS_USER RELAY_REDIS_CA_FILE
        RELAY_REDIS_PASSWORD=$(<"$keys/redis_password")
    fi
    RELAY_PG_DSN=${RELAY_PG_DSN:-$pg_dsn}
    RELAY_REDIS_URL=${RELAY_REDIS_URL:-$redis_url}
    RELAY_LISTEN=unix:$sockets/relayd/relayd.sock
    RELAY_PUBLIC_URL=${RELAY_PUBLIC_URL:-http://localhost:$port}
    RELAY_MASTER_KEY=${RELAY_MASTER_KEY:-$(<"$keys/master.keys")}
    RELAY_DATAPLANE_KEY=$(<"$keys/dataplane.keys")
    RELAY_SIGNING_KEY=$(<"$keys/signing.keys")
    RELAY_SETUP_TOKEN=${RELAY_SETUP_TOKEN:-$(<"$home/setup_token")}
    export RELAY_PG_DSN RELAY_REDIS_URL RELAY_REDIS_PASSWORD RELAY_LISTEN RELAY_PUBLIC_URL \
        RELAY_MASTER_KEY RELAY_DATAPLANE_KEY RELAY_SIGNING_KEY RELAY_SETUP_TOKEN
    [ -z "${RELAY_VAULT_TOKEN:-}" ] || export RELAY_VAULT_TOKEN
}

# Before relayd serves: all is there when the workers ask for it. The first relay
# key is shown again at each start, on a machine of one's own.
bootstrap() {
    local said kind value found='' log=$home/logs/bootstrap.log

    if ! said=$(relayd_settings && as relayd "$relayd" --bootstrap 9>&- 2>"$log"); then
        said=$(tail -n 3 "$log")
        [ -e "$home/bootstrapped" ] || failed "relayd --bootstrap: $said"
        say "relayd cannot work yet: $said" >&2
        return
    fi

    while read -r kind value; do
        case $kind in
            relay_key) private "$home/relay_key" "$value" ;;
            provider_key) found+=${value##* }$'\n' ;;
        esac
    done <<<"$said"
    private "$home/provider_keys" "${found%$'\n'}"
    : >"$home/bootstrapped"
}

run_relayd() {
    relayd_settings
    as relayd "$relayd"
}

# Once all was made it need not reach its engines to be of use: nginx serves
# without them, and they may come later.
relayd_up() {
    if [ -e "$home/bootstrapped" ]; then
        ask_relayd /healthz >/dev/null
    else
        ask_relayd /readyz >/dev/null
    fi
}

ask_relayd() { # ask_relayd PATH
    curl -q -s -f -m 5 --noproxy '*' --unix-socket "$sockets/relayd/relayd.sock" "http://relayd$1" 9>&-
}

# ---- nginx -------------------------------------------------------------------

# What the workers need of a Redis of yours.
store_lines() {
    if [ -n "${redis_url:-}" ]; then
        printf '    relay_store "%s";\n' "$redis_url"
        printf '    relay_store_password "file:%s";\n' "$keys/redis_password"
        return
    fi
    printf '    relay_store "%s";\n' "$RELAY_REDIS_URL"
    [ -z "${RELAY_REDIS_USER:-}" ] || printf '    relay_store_user "%s";\n' "$RELAY_REDIS_USER"
    [ -z "${RELAY_REDIS_PASSWORD:-}" ] || printf '    relay_store_password env:RELAY_REDIS_PASSWORD;\n'
    [ -z "${RELAY_REDIS_CA_FILE:-}" ] || printf '    relay_store_ca_file "%s";\n' "$RELAY_REDIS_CA_FILE"
}

# A name may mean either of the two addresses.
admin_listen() {
    printf '        listen %s:%s;\n' "$admin_address" "$admin_port"
    [ "$admin_address" != 127.0.0.1 ] || ! grep -q '^0\{31\}1 ' /proc/net/if_inet6 2>/dev/null ||
        printf '        listen [::1]:%s;\n' "$admin_port"
}

write_config() {
    local load_line='' listen_ipv6='' user_line='' prefix_line=''

    [ "$module" = static ] || load_line="load_module \"$module\";"
    ! ipv6_works || listen_ipv6="listen [::]:$port;"
    [ "$(id -u)" -ne 0 ] || user_line="user $worker_user $worker_group;"
    [ -z "${RELAY_REDIS_PREFIX:-}" ] || prefix_line="relay_store_prefix \"$RELAY_REDIS_PREFIX\";"
    private "$home/port" "$port"

    private "$home/nginx.conf" "# Written at each start by docker/launcher/box; changes here are lost.

$load_line
$user_line
worker_processes auto;
worker_shutdown_timeout 10m;

pid nginx.pid;
error_log logs/error.log notice;

events {
    worker_connections $(open_files);
}

http {
    include \"$root/config/relay_http.conf\";

    relay_config \"$root/config/echo.json\";

$(store_lines)
    $prefix_line
    relay_store_verify_keys \"$keys/verify.keys\";
    relay_store_seal_keys \"$keys/dataplane.keys\";
    relay_store_state \"$state/workers\";

    access_log logs/access.log relay_json;

    client_body_temp_path \"$state/nginx_body\";
    proxy_temp_path \"$state/nginx_proxy\";
    fastcgi_temp_path \"$state/nginx_fastcgi\";
    uwsgi_temp_path \"$state/nginx_uwsgi\";
    scgi_temp_path \"$state/nginx_scgi\";

    server {
        listen $port;
        $listen_ipv6

        include \"$root/config/relay_server.conf\";
    }

    upstream relay_admin {
        server \"unix:$sockets/relayd/relayd.sock\";
        keepalive 8;
    }

    server {
$(admin_listen)
        access_log logs/admin.log relay_line;

        include \"$root/config/relay_admin.conf\";
    }
}"
}

nginx_environment() {
    clean_environment RELAY_REDIS_PASSWORD
    [ -n "${redis_url:-}" ] || [ -z "${RELAY_REDIS_PASSWORD:-}" ] || export RELAY_REDIS_PASSWORD
}

check_config() {
    local complaint
    complaint=$( (nginx_environment && call_nginx -t -q) 2>&1 9>&-) && return
    failed "nginx does not accept its configuration:"$'\n'"$complaint"
}

run_nginx() {
    nginx_environment
    DEATH=QUIT as root "$nginx" -p "$home/" -c "$home/nginx.conf" -g 'daemon off;'
}

nginx_up() {
    [ -s "$home/nginx.pid" ] && answers 127.0.0.1 "$port"
}

# One worker has answered; each of them says in the log when it can.
all_serve() {
    local text
    text=$(log_since nginx error)
    [ "$(grep 'revision [0-9]* is served' <<<"$text" | cut -d ' ' -f 4 | sort -u | wc -l)" -ge \
        "$(grep -c 'start worker process [0-9]' <<<"$text")" ]
}

# Ready is when a request is served: workers fetch their configuration first.
await_configuration() {
    local begin_s=$SECONDS key status
    key=$(cat "$home/relay_key" 2>/dev/null)
    rm -f "$home/relay_key.refused"

    while [ "$stopping" -eq 0 ]; do
        status=$(curl -q -s -o /dev/null -m 2 --noproxy '*' -w '%{http_code}' -H @- \
            "http://127.0.0.1:$port/v1/models" <<<"Authorization: Bearer $key" 9>&-)
        case $status in
            200) return ;;
            401)
                [ -n "$key" ] || return
                [ $((SECONDS - begin_s)) -lt 3 ] || { : >"$home/relay_key.refused"; return; }
                ;;
        esac
        [ $((SECONDS - begin_s)) -lt 10 ] || { say 'the workers have no configuration yet' >&2; return; }
        sleep 0.05
    done
}
