#!/usr/bin/perl
#
# `make run`, `make stop`, `make status` and `make reset` with the whole product,
# as a user meets them: as root and not, in front and behind, with engines of
# one's own, and what is refused.

use lib 't/lib';
use Relay::Box;

use File::Glob qw(bsd_glob);
use File::Copy qw(copy);
use File::Path qw(make_path);
use POSIX qw(WNOHANG);
use Relay::ControlPlane ();
use Relay::Mock;
use Relay::Test ();

my $secret = 'planted-provider-key-0123456789';
my ($status, $output, $key);

sub cmdline { join ' ', split /\0/, slurp("/proc/$_[0]/cmdline") }
sub stream {
    my ($box, $key) = @_;
    open my $stream, '-|', 'curl', '-s', '-N', '--json', '{"model":"slow","stream":true,"messages":[]}',
        '-H', "Authorization: Bearer $key", $box->url . '/v1/chat/completions' or die $!;
    return $stream;
}

sub mode { sprintf '%04o', (stat $_[0])[2] & 07777 }
sub ended { my ($pid, $seconds) = @_; within($seconds, sub { waitpid($pid, WNOHANG) == $pid }) }


# ---- as we are, in a long path with a space -----------------------------------

my $box = Relay::Box->new(env => {OPENAI_API_KEY => $secret});
$box->{home} = $box->dir . '/with a space/' . join '/', ('a-rather-long-name') x 7;
cmp_ok length $box->home, '>', 150, 'RELAY_HOME is long';

my $begin = time;
$output = $box->start;
cmp_ok time - $begin, '<', 30, 'ready in time, even on a busy machine';
$key = $box->key;

my ($url, $admin) = map { "http://localhost:$_" } $box->{port}, $box->{admin_port};
like $output, qr{base URL  $url/v1$}m, 'shows the base URL for /v1 SDKs';
like $output, qr{base URL  $url/gemini$}m, '... and for those of Gemini';
like $output, qr{base URL  $url$}m, 'and the one without version';
like $output, qr{Admin API +$admin/api/v1$}m, 'and that of the admin API';
like $output, qr/provider keys found: OPENAI_API_KEY$/m, 'names the provider key found';
unlike $output, qr/\Q$secret\E/, 'and does not show it';
like $key, qr/^rly_\w{46}$/, 'shows a relay key';
like $output, qr/Set-up token +\S{32}$/m, 'and the set-up token';

my ($curl) = $output =~ /^\s+(curl .*?\}')$/ms;
my $answer = eval { JSON::PP->new->decode(`$curl -s -m 10 2>&1`) } || {};
is $answer->{object}, 'chat.completion', 'the curl that is shown works as pasted';

subtest 'what is no request is refused as relayd would' => sub {
    my $sent = sub {
        my ($bytes) = @_;
        my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $box->{admin_port}, Timeout => 10) or die $!;
        print $socket $bytes;
        local $/;
        return <$socket> =~ /^HTTP\S+ (\d+).*?\r\n\r\n(.*)/s ? ($1, $2, $&) : ();
    };
    for (['no HTTP', "GET / HTTP/x\r\n\r\n", 400, 'invalid_request'], ['a header without a colon', "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400, 'invalid_request'],
        ['no host', "GET / HTTP/1.1\r\n\r\n", 400, 'invalid_request'], ['a NUL', "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400, 'invalid_request'],
        ['two lengths', "POST /api/v1/setup HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400, 'invalid_request'],
        ['a chunk that is none', "POST /api/v1/setup HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400, 'invalid_request'],
        ['a long header', "GET / HTTP/1.1\r\nHost: a\r\nX: " . 'x' x 40000 . "\r\n\r\n", 400, 'invalid_request'],
        ['a long URL', 'GET /' . 'x' x 40000 . " HTTP/1.1\r\nHost: a\r\n\r\n", 414, 'invalid_request'],
        ['a long body', "POST /api/v1/setup HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n", 413, 'too_large']) {
        my ($what, $bytes, $status, $code) = @$_;
        my ($got, $body, $all) = $sent->($bytes);
        is $got, $status, $what;
        like $all, qr{\r\nContent-Type: application/problem\+json\r\n}, '... is a problem';
        my $problem = eval { JSON::PP->new->decode($body) } || {};
        is_deeply [@$problem{qw(type status code)}], ['about:blank', $status, $code], '... in full';
    }
};

subtest 'secrets stay where they belong' => sub {
    my %secret = (provider => $secret, map { $_ => slurp($box->home . "/$_") =~ s/^\S+ (?=\S)//r =~ s/\n//gr }
        qw(keys/redis_password keys/postgres_password keys/master.keys keys/dataplane.keys
        keys/signing.keys setup_token relay_key));
    my @processes = $box->processes;
    cmp_ok scalar @processes, '>', 6, 'all processes are seen';
    for my $name (sort keys %secret) {
        cmp_ok length $secret{$name}, '>', 20, "$name is there";
        is join(' ', grep { cmdline($_) =~ /\Q$secret{$name}\E/ } @processes), '', "$name: in no command line";
        is join(' ', grep { index(slurp($_), $secret{$name}) >= 0 } bsd_glob($box->home . '/logs/*')), '', '... in no log';
        my %may = map { $box->part($_) => 1 } 'box', $name eq 'provider' ? 'relayd' : ();
        my @has = grep { my $pid = $_; !$may{$pid} && index(slurp("/proc/$pid/environ"), $secret{$name}) >= 0 } @processes;
        is join(' ', map { cmdline($_) } @has), '', '... in the environment of no process that must not have it';
    }
    for my $file (split /\0/, `find '${\$box->home}' '${\$box->state}' -type f -print0`) {
        my $text = slurp($file);
        next if !grep { index($text, $_) >= 0 } values %secret;
        is mode($file) =~ /00$/ ? '' : mode($file), '', "$file is private";
    }
    is mode($box->home . '/logs'), '0700', 'logs are private';
    is mode($box->home . '/keys'), '0700', 'keys are private';
};

($status, $output) = $box->launch('status');
is $status, 0, 'status: up';
like $output, qr{up, process \d+, \Q$url\E}, 'with process and URL';
like $output, qr/^relay:   $_, process \d+$/m, "and $_" for qw(nginx postgres redis relayd);

($status, $output) = $box->launch('start', RELAY_PORT => Relay::Test::free_port());
is $status, 1, 'a second start in the same directory is refused';
like $output, qr/already running.* on port $box->{port}/, 'and says where it runs';

my $other = $box->dir . '/other';
($status, $output) = $box->launch('start', RELAY_HOME => $other, RELAY_ADMIN_PORT => Relay::Test::free_port());
is $status, 1, 'a taken port is refused';
like $output, qr/port $box->{port} is taken.*RELAY_PORT=/, 'and named';
($status, $output) = $box->launch('start', RELAY_HOME => $other, RELAY_PORT => Relay::Test::free_port());
like $output, qr/port $box->{admin_port} is taken.*RELAY_ADMIN_PORT=/, 'so is that of the admin API';

($status, $output) = $box->launch('reset', RELAY_RESET => 'yes');
is $status, 1, 'what runs is not deleted';
like $output, qr/make stop/, 'and it is said what to do';

my $token = $box->set_up;
$box->mint('kept');
my $sockets = $box->sockets;
my @shared = $box->shared_memory;
ok scalar @shared, 'its Postgres has shared memory';
($status, $output) = $box->stop;
is $status, 0, 'stops' or diag $output;
is join(' ', $box->processes), '', 'no process is left';
ok !-e $sockets, 'no socket';
is join(' ', grep { -e } @shared), '', 'no shared memory';
($status, $output) = $box->launch('status');
is $status, 3, 'status: down';
($status, $output) = $box->stop;
is $status, 0, 'stopping what is stopped is no error';


# ---- again ---------------------------------------------------------------------

$box->{env} = {RELAY_STOP_AFTER_S => 20};
$output = $box->start;
is $box->key, $key, 'the relay key is kept';
is $box->chat($key)->{status}, 200, 'and works after a restart';
unlike $output, qr/Set-up token/, 'set-up is done: its token is not shown';
is $box->api(POST => '/api/v1/setup', {setup_token => $box->setup_token})->{status}, 409, 'and opens nothing';
is $box->api(GET => 'relay-keys/kept')->{status}, 200, 'what was made is there';

{
    my $etag = $box->api(GET => 'relay-keys/first')->{headers}{etag};
    is $box->api(POST => 'relay-keys/first:revoke?wait=applied', undef, 'If-Match' => $etag)->{status}, 200,
        'the first key is revoked';
    $box->stop;
    $output = $box->start;
    like $output, qr/Relay key +\(the first one is not valid any more.*\)$/m, 'which the next start says';
}


# ---- in front ------------------------------------------------------------------

$box->stop;
my $mock = Relay::Mock->new(on => sub {
    return sse([(map { qq(data: {"choices":[{"index":0,"delta":{"content":"$_"}}]}\n\n) } 1 .. 20),
        qq(data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n), "data: [DONE]\n\n"], gap_ms => 100);
});
my $pid = $box->start_in_front;
ok within(30, sub { $box->said =~ /Ctrl-C stops/ }), 'runs in front';
$key = $box->serve($mock, 'slow');
{
    my $stream = stream($box, $key);
    my $first = <$stream>;
    like $first, qr/^data: /, 'a stream has begun';
    kill INT => -$pid;
    my $rest = join '', <$stream>;
    close $stream;
    like $rest, qr/"content":"20"/, 'Ctrl-C lets it finish';
}
ok ended($pid, 20), 'then all ends';
is $?, 0, 'without an error';
like $box->said, qr/once more to stop at once\nrelay: stopped$/, 'and says so';
is join(' ', $box->processes), '', 'nothing is left';

$pid = $box->start_in_front;
ok within(30, sub { $box->said =~ /Ctrl-C stops/ }), 'once more';
{
    my $stream = stream($box, $key);
    my $first = <$stream>;
    kill INT => -$pid;
    sleep 0.3;
    kill INT => -$pid;
    my $rest = join '', <$stream>;
    unlike $rest, qr/"content":"20"/, 'Ctrl-C twice cuts it';
}
ok ended($pid, 10), 'and ends all at once';
is join(' ', $box->processes), '', 'nothing is left';


# ---- reset ---------------------------------------------------------------------

$box->write($box->home . '/notes', "somebody's\n");
for my $typed ('', "no\n", "y\n") {
    ($status, $output) = $box->launch('reset', stdin => $typed);
    is $status, 1, 'reset asks' or diag $output;
    like $output, qr/deletes all.*Type yes: .*nothing was deleted/s, 'and takes yes alone';
}
ok -s $box->home . '/relay_key', 'all is there';
my $state = $box->state;
($status, $output) = $box->launch('reset', stdin => "yes\n");
is $status, 0, 'reset' or diag $output;
is join(' ', map { s{.*/}{}r } bsd_glob($box->home . '/*')), 'notes', 'deletes all that is ours, and nothing else';
ok $state eq $box->home || !-e $state, 'also elsewhere';
($status, $output) = $box->launch('reset', RELAY_RESET => 'yes');
is $status, 1, 'there is nothing to delete any more';


# ---- what cannot work ------------------------------------------------------------

my %wrong = (
    'RELAY_PORT=80x' => qr/RELAY_PORT=80x is not a port number/,
    'RELAY_ADMIN_PORT=0' => qr/RELAY_ADMIN_PORT=0 is not a port number/,
    "RELAY_ADMIN_PORT=$box->{port}" => qr/are both $box->{port}/,
    'RELAY_STOP_AFTER_S=soon' => qr/RELAY_STOP_AFTER_S=soon is not a number/,
    'RELAY_ADMIN_ADDRESS=a;b' => qr/RELAY_ADMIN_ADDRESS=a;b is not an address/,
    'RELAY_REDIS_URL=unix:/a;b' => qr/RELAY_REDIS_URL may not have/,
    'RELAY_SIGNING_KEY=k1 x' => qr/RELAY_SIGNING_KEY: nginx needs these keys/,
    'RELAY_PG_DSN_FILE=/none' => qr{RELAY_PG_DSN_FILE=/none cannot be read},
    'RELAY_RELAYD=/none' => qr{/none does not exist; run: make build},
    'RELAY_HOME=/proc/relay' => qr{cannot create RELAY_HOME=/proc/relay \(.+\)},
);
for my $setting (sort keys %wrong) {
    my ($name, $value) = split /=/, $setting, 2;
    ($status, $output) = $box->launch('start', $name => $value);
    is $status, 1, "$setting is refused";
    like $output, $wrong{$setting}, 'and explained';
}


# ---- as an ordinary user, in a copy under a long path with a space -----------------

SKIP: {
    skip 'not root: everything above was', 14 if $> != 0;

    my $user = Relay::Box->new(as => [qw(setpriv --reuid=nobody --regid=nogroup --clear-groups)]);
    my $copy = $user->dir . '/a copy/' . join '/', ('of-the-checkout') x 8;
    make_path(map { "$copy/$_" } qw(docker/launcher config build));
    my $file = sub { copy($_[0], $_[1]) or die "$_[0]: $!\n"; chmod 0755, $_[1]; $_[1] };
    $file->($_, "$copy/$_") for glob('docker/launcher/*'), glob('config/*');
    my @module = ($ENV{RELAY_MODULE} || '') eq 'static' ? ()
        : (RELAY_MODULE => $file->('build/ngx_relay_module.so', "$copy/build/module.so"));
    $user->{env} = {@module, RELAY_RELAYD => $file->($ENV{RELAY_RELAYD} || 'build/relayd', "$copy/build/relayd"),
        $ENV{RELAY_NGINX} ? (RELAY_NGINX => $file->($ENV{RELAY_NGINX}, "$copy/build/nginx")) : ()};
    $user->{launcher} = "$copy/docker/launcher/box";
    $user->{home} = $user->dir . "/it's mine/" . ('x' x 120);
    make_path($user->home);
    chown((getpwnam 'nobody')[2], (getgrnam 'nogroup')[2], $user->home);

    $user->start;
    is $user->chat($user->key)->{status}, 200, 'works for an ordinary user';
    is join(' ', grep { (stat "/proc/$_")[4] == 0 && cmdline($_) !~ /relayd$/ } $user->processes), '', 'nothing runs as root';
    unlike $user->sockets, qr/^\Q${\$user->home}\E/, 'sockets of a long path are elsewhere';
    $user->finish;

    # The name of the sockets' folder can be known before: somebody else may have made it.
    mkdir $user->sockets or die $!;
    ($status, $output) = $user->launch('start');
    is $status, 1, 'a folder of sockets that is not ours is refused';
    like $output, qr/belongs to root/, 'and said whose it is';
    rmdir $user->sockets;

    ($status, $output) = $user->launch('start', RELAY_HOME => $box->dir);
    is $status, 1, 'the state directory of another user is refused';
    like $output, qr/belongs to root/, 'and explained';
    chmod 0500, $user->home . '/tmp';
    ($status, $output) = $user->launch('start');
    is $status, 1, 'a folder that cannot be written to is refused';
    like $output, qr/cannot write to RELAY_HOME=.*Permission denied/, 'and explained';
    chmod 0700, $user->home . '/tmp';
    unlink $user->home . '/postgres/PG_VERSION';
    $user->write($user->home . '/postgres/PG_VERSION', "13\n");
    ($status, $output) = $user->launch('start');
    is $status, 1, 'a database of another version of Postgres is refused';
    like $output, qr/made by PostgreSQL 13.*apt-get install postgresql-13/, 'and explained';
}


# ---- engines of one's own ---------------------------------------------------------

{
    my $engines = Relay::ControlPlane->new;
    $engines->make_postgres;
    my $socket = $engines->dir . '/redis.sock';
    $engines->spawn(redis => ['redis-server', '--port', '0', '--unixsocket', $socket,
        '--unixsocketperm', '777', '--save', '', '--user', 'relay', 'on', '>pass word', '~*', '&*', '+@all',
        '--requirepass', 'other']);
    ok within(10, sub { -S $socket }), 'a Redis of our own';
    my $own = Relay::Box->new(env => {RELAY_PG_DSN => $engines->dsn('owner'), RELAY_REDIS_URL => "unix:$socket",
        RELAY_REDIS_USER => 'relay'});
    $own->{env}{RELAY_REDIS_PASSWORD_FILE} = $own->write($own->dir . '/password', "pass word\n");
    $own->start;
    is $own->chat($own->key)->{status}, 200, 'works with engines of one\'s own';
    ok !defined $own->part($_), "no $_ of ours" for qw(postgres redis);
    is $engines->sql('SELECT count(*) FROM relay_key'), 1, 'its database is used';
    $own->stop;
    ok $engines->{pids}{postgres} && kill(0, $engines->{pids}{postgres}), 'and is not stopped';

    # All was made before: what is away may come later, and workers have what they had.
    $engines->stop_postgres;
    $output = $own->start;
    like $output, qr/relayd cannot work yet/, 'a database that is away is said' if $output =~ /cannot/;
    is $own->chat($own->key)->{status}, 200, 'and requests are served without it';
    $own->finish;
    $engines->stop;
}


# ---- the first process of a container, without IPv6 ---------------------------------

SKIP: {
    skip 'not root: no namespaces', 6 if $> != 0;

    my $init = Relay::Box->new(as => ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc', '--net', 'sh', '-c',
        'ip link set lo up 2>/dev/null; sysctl -q -w net.ipv6.conf.all.disable_ipv6=1; exec "$0" "$@"']);
    $pid = $init->start_in_front;
    ok within(30, sub { $init->said =~ /Logs are in/ }), 'runs as the first process' or diag $init->said;
    my $relay_key = slurp($init->home . '/relay_key') =~ s/\n//r;
    unlike $init->said, qr/\Q$relay_key\E/, 'whose output is kept somewhere: no secret in it';
    like $init->said, qr{Relay key +in \Q${\$init->home}\E/relay_key}, 'but where it is';
    unlike slurp($init->home . '/nginx.conf'), qr/listen \[::\]/, 'there is no IPv6';
    my ($first) = split ' ', `pgrep -P $pid`;
    my @enter = ('nsenter', '-t', $first, '-p', '-m', '-n');
    my ($command) = $init->said =~ /^\s+(curl .*?\}')$/ms;
    $init->write($init->dir . '/pasted', $command);
    like `@enter sh ${\$init->dir}/pasted 2>/dev/null`, qr/"chat.completion"/, 'its curl works as pasted';
    system @enter, 'sh', '-c', '(sleep 0.1 & exec true) & true';
    sleep 0.5;
    is `@enter ps -eo stat= | grep -c '^Z'` + 0, 0, 'orphans are reaped';
    kill TERM => $first;
    ok ended($pid, 20), 'TERM ends it';
    is $? >> 8, 0, 'without an error';
    like $init->said, qr/relay: stopped$/, 'and all stopped before';
}

done_testing;
