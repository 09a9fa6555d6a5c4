# relayd as a process: settings, the schema of its database, and what happens
# while Postgres or Redis is away.

use lib 't/lib';
use Relay::ControlPlane;
use Digest::SHA qw(sha256_hex);
use IO::Socket::INET;
use IO::Socket::UNIX;

my $cp = Relay::ControlPlane->new(role => 'owner', settings => {pg_timeout_ms => 1000, pg_connections => 4},
    allow => [qr/the database is refused/, qr/"raw":"relayd: /, # and what the publisher says of outages:
        qr/the database cannot be read/, qr/Redis cannot be used/]);
my $pools = '/api/v1/workspaces/default/pools';

sub wait_ready {
    my ($status, $seconds) = @_;
    my $until = time + ($seconds || 15);
    while (time < $until) {
        my $res = $cp->get('/readyz', token => undef, quiet => 1);
        return 1 if $res && $res->status == $status;
        sleep 0.05;
    }
    return 0;
}

sub children_of {
    my ($parent) = @_;
    my @children;
    for my $file (glob '/proc/[0-9]*/stat') {
        open my $fh, '<', $file or next;
        my ($pid, $of) = (<$fh> // '') =~ /^(\d+) \(.*\) \S (\d+)/ or next;
        push @children, $pid if $of == $parent;
    }
    return @children;
}

sub write_file {
    my ($name, $text) = @_;
    my $file = $cp->dir . "/$name";
    open my $fh, '>', $file or die "$file: $!";
    print $fh $text;
    close $fh;
    return $file;
}

# relayd --check with settings over the usual ones: (status, output).
sub check {
    my ($settings, @flags) = @_;
    local $cp->{settings} = {%{$cp->{settings}}, %$settings};
    return $cp->run_relayd('--check', @flags);
}

subtest 'settings' => sub {
    is_deeply [check({})], [0, "ok\n"], 'good ones';
    my @bad = (
        [{pg_dsn => undef}, qr/pg_dsn \(RELAY_PG_DSN\): it is required/, 'a missing one'],
        [{pg_dsn => 'nonsense'}, qr/pg_dsn/, 'no DSN'],
        [{threads => 'many'}, qr/threads \(RELAY_THREADS\): is "many", expected a number from 2 to 1024/, 'no number'],
        [{threads => 1}, qr/expected a number/, 'too small'],
        [{log_level => 'loud'}, qr/log_level/, 'no level'],
        [{listen => '0.0.0.0:1'}, qr/loopback/, 'not loopback'],
        [{listen => 'unix:relative'}, qr{expected unix:/path}, 'a relative socket'],
        [{listen => 'unix:/' . 'x' x 107}, qr/107/, 'a long socket'],
        [{listen => 'localhost'}, qr/listen/, 'no port'],
        [{master_key => 'nonsense'}, qr/master/i, 'no ring'],
    );
    for my $case (@bad) {
        my ($status, $out) = check($case->[0]);
        is $status, 2, "$case->[2]: refused";
        like $out, $case->[1], "$case->[2]: says what";
    }
    my (undef, $out) = check({pg_dsn => 'host=a password=hunter2secret bad'});
    unlike $out, qr/hunter2secret/, 'a password is not repeated';
    ($_, $out) = check({master_key => 'id short-secret'});
    unlike $out, qr/short-secret/, 'nor a key';
};

subtest 'where a setting comes from' => sub {
    my $file = write_file('relayd.conf', "# comment\n\nthreads = 1\nlog_level = info\n");
    like +(check({}, '--config', $file))[1], qr/threads \(\Q$file\E, line 3\)/, 'the file, with its line';
    is +(check({threads => 8}, '--config', $file))[0], 2, 'a bad file is refused whatever else is said';
    $file = write_file('relayd.conf', "threads = 3000000000000\n");
    like +(check({}, '--config', $file))[1], qr/expected a number/, 'a number that is too large';

    # Where to listen is looked at when all of it was read.
    my $good = 'unix:' . $cp->socket;
    $file = write_file('relayd.conf', "listen = 0.0.0.0:1\n");
    like +(check({listen => undef}, '--config', $file))[1], qr/0\.0\.0\.0:1/, 'a file comes before the default';
    is +(check({listen => $good}, '--config', $file))[0], 0, 'a variable before the file';
    is +(check({listen => '0.0.0.0:1'}, '--config', $file, "--listen=$good"))[0], 0, 'a flag before the variable';
    is +(check({listen => '0.0.0.0:1'}, '--listen', $good))[0], 0, '... in two words';
    like +(check({}, '--config', write_file('bad.conf', "thread = 8\n")))[1], qr/did you mean threads\?/, 'a name that is near';
    like +(check({}, '--config', write_file('bad.conf', "threads = 8\nthreads = 9\n")))[1], qr/twice/, 'twice';
    like +(check({}, '--config', write_file('bad.conf', "threads\n")))[1], qr/name = value/, 'no value';
    like +(check({}, '--config', '/nonexistent'))[1], qr/cannot use the file/, 'no file';
    like +(check({}, '--thread', '9'))[1], qr/did you mean threads\?/, 'a flag that is near';
    like +(check({}, '--threads'))[1], qr/value is missing/, 'a flag without value';
    like +(check({}, '--master-key', 'x'))[1], qr/does not belong on a command line/, 'a secret as a flag';

    my $key = write_file('master.keys', $cp->{master_key});
    is +(check({master_key => undef}, '--master-key-file', $key))[0], 0, 'a secret from a file';
    {
        local $cp->{env} = {RELAY_MASTER_KEY_FILE => $key};
        is +(check({master_key => undef}))[0], 0, '... by variable';
        is +(check({master_key => 'nonsense'}))[0], 2, '... after the variable itself';
        local $cp->{env} = {RELAY_MASTER_KEY_FILE => '/nonexistent'};
        like +(check({master_key => undef}))[1], qr/master_key \(RELAY_MASTER_KEY_FILE\): cannot use the file/, '... that is not there';
        local $cp->{env} = {RELAY_TREADS => 1, RELAY_PORT => 1, RELAY_HOME => 1, RELAY_SETUP_TOKEN => ''};
        my ($status, $out) = check({});
        is $status, 0, 'an unknown variable is no fault';
        like $out, qr/"variable":"RELAY_TREADS","did_you_mean":"RELAY_THREADS"/, '... but a warning';
        unlike $out, qr/RELAY_PORT|RELAY_HOME/, '... except those of the launcher';
    }
};

subtest 'it starts before Postgres does' => sub {
    $cp->start_redis;
    $cp->start_relayd;
    ok wait_ready(503), 'not ready';
    is $cp->get('/healthz', token => undef)->status, 200, 'but alive';
    my $res = $cp->get('/readyz', token => undef);
    like $res->json->{detail}, qr/database/, 'and says what is missing';
    $res = $cp->get($pools, token => 'rlt_' . 'a' x 43, unchecked => 1);
    is $res->status, 503, 'requests are told';
    is $res->header('retry-after'), 1, '... to try again';
    $cp->make_postgres;
    ok wait_ready(200), 'ready when the database is there';
    is $cp->sql('SELECT count(*) FROM installation'), 1, 'an installation';
    is $cp->sql('SELECT name FROM workspace'), 'default', 'with its workspace';
    $cp->setup;
};

subtest 'a role that is not above row-level security' => sub {
    is $cp->sql("SELECT count(*) FROM pg_roles WHERE rolname = 'relay_app'"), 0, 'needs no other role';
    is $cp->sql("SELECT tableowner FROM pg_tables WHERE tablename = 'pool'"), 'relay_owner', 'it owns the tables';
    $cp->post($pools, {name => 'mine', members => []});
    is $cp->sql("SET ROLE relay_owner; SELECT count(*) FROM pool"), 0, 'and is held all the same';
};

subtest 'as a process' => sub {
    my $environment = do { open my $fh, '<', '/proc/' . $cp->pid . '/environ' or die; local $/; <$fh> };
    for my $secret (qw(master_key dataplane_key signing_key setup_token)) {
        ok index($environment, $cp->{$secret} =~ s/\s+\z//r) < 0, "$secret is gone from the environment";
    }
    like do { open my $fh, '<', '/proc/' . $cp->pid . '/limits' or die; local $/; <$fh> }, qr/^Max core file size\s+0\s+0/m, 'no core images';
    is sprintf('%o', (stat $cp->socket)[2] & 07777), '660', 'the socket is for owner and group';
    local $cp->{settings} = {%{$cp->{settings}}};
    my ($status, $out) = $cp->run_relayd();
    is $status, 1, 'a second relayd on the same socket is refused';
    like $out, qr/another program listens there/, '... and says why';
};

subtest 'Postgres is restarted' => sub {
    is $cp->get($pools)->status, 200, 'before';
    $cp->stop_postgres;
    is $cp->get($pools, unchecked => 1)->status, 503, 'away';
    is $cp->get('/healthz', token => undef)->status, 200, 'alive';
    like $cp->get('/metrics', token => undef)->body, qr/^relayd_database_up 0$/m, 'metrics say so';
    $cp->start_postgres;
    my $until = time + 5;
    my $status = 0;
    while (time < $until && ($status = $cp->get($pools)->status) != 200) { sleep 0.05 }
    is $status, 200, 'and back, by itself';
    $cp->stop_postgres;
    $cp->start_postgres;
    is $cp->get($pools)->status, 200, 'a restart between two requests is not noticed';
};

subtest 'Postgres says nothing' => sub {
    my @group = ($cp->{pids}{postgres}, children_of($cp->{pids}{postgres}));
    kill STOP => @group;
    my $began = time;
    is $cp->get($pools, unchecked => 1)->status, 503, 'is answered';
    cmp_ok time - $began, '<', 12, '... in time';
    kill CONT => @group;
    ok wait_ready(200), 'and ready again';
    is $cp->get($pools)->status, 200, '... for requests';
};

subtest 'Redis is away' => sub {
    $cp->stop_redis;
    ok wait_ready(503), 'not ready';
    is $cp->post($pools, {name => 'without-redis', members => []})->status, 201, 'changes are stored';
    $cp->start_redis;
    ok wait_ready(200), 'ready again';
};

subtest 'migrations' => sub {
    $cp->stop_relayd;
    my $first = $cp->sql('SELECT sha256 FROM schema_migration WHERE number = 1');
    open my $fh, '<:raw', (glob 'migrations/0001_*.sql')[0] or die;
    is $first, sha256_hex(do { local $/; <$fh> }), 'recorded with their digest';

    $cp->sql("UPDATE schema_migration SET sha256 = 'changed' WHERE number = 1");
    my ($status, $out) = $cp->run_relayd();
    is $status, 1, 'a changed one is refused';
    like $out, qr/0001_\w+\.sql was changed after it had been applied/, '... by name';
    $cp->sql("UPDATE schema_migration SET sha256 = '$first' WHERE number = 1");

    $cp->sql("INSERT INTO schema_migration VALUES (9001, '9001_far.sql', 'x', false)");
    ($status, $out) = $cp->run_relayd();
    is $status, 1, 'one of a newer relayd is refused';
    like $out, qr/9001_far\.sql of a newer relayd/, '... by name';

    $cp->sql('UPDATE schema_migration SET compatible = true WHERE number = 9001');
    $cp->start_relayd;
    ok wait_ready(200), 'unless it is compatible';
    $cp->stop_relayd;
    $cp->sql('DELETE FROM schema_migration WHERE number = 9001');
};

subtest 'a database that turns out to be for another relayd' => sub {
    $cp->sql("UPDATE schema_migration SET compatible = false, sha256 = 'x' WHERE number = 1");
    $cp->stop_postgres;
    $cp->start_relayd;
    ok wait_ready(503), 'it waits';
    $cp->start_postgres;
    is $cp->await_end('relayd', 10), 1 << 8, 'and ends when it sees it';
    my $digest = sha256_hex(do { open my $fh, '<:raw', (glob 'migrations/0001_*.sql')[0]; local $/; <$fh> });
    $cp->sql("UPDATE schema_migration SET sha256 = '$digest' WHERE number = 1");
};

subtest 'two that start on an empty database' => sub {
    $cp->sql_in('postgres', 'DROP DATABASE relay');
    $cp->sql_in('postgres', 'CREATE DATABASE relay OWNER relay_owner');
    my $second = $cp->dir . '/second.sock';
    $cp->spawn(second => [$cp->relayd_binary], env => {%{$cp->settings}, RELAY_LISTEN => "unix:$second"});
    $cp->start_relayd;
    ok wait_ready(200), 'one is ready';
    my $until = time + 10;
    my $answer = '';
    while (time < $until && $answer !~ /^HTTP\S+ 200/) {
        my $socket = IO::Socket::UNIX->new(Peer => $second);
        if ($socket) {
            print $socket "GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
            local $/;
            $answer = <$socket> // '';
        }
        sleep 0.05;
    }
    like $answer, qr/^HTTP\S+ 200/, 'the other too';
    is $cp->sql('SELECT count(*) FROM schema_migration'), scalar(my @all = glob 'migrations/*.sql'), 'each migration once';
    is $cp->end_process(second => 'TERM', 20), 0, 'the second stops';
    $cp->setup;
};

subtest 'a graceful stop' => sub {
    $cp->redis('HSET', 'relay:nodes', 'test/0', '{"node":"test","worker":0,"pid":1,"revision":1,"state":"applied","at":' . int(time) . ',"version":"0.1.0"}');
    pipe my $read, my $write;
    my $pid = fork // die;
    if (!$pid) {
        my $res = $cp->post("$pools?wait=applied&wait_ms=1500", {name => 'last', members => []});
        syswrite $write, $res->status;
        POSIX::_exit(0);
    }
    close $write;
    sleep 0.7;
    kill TERM => $cp->pid;
    sleep 0.3;
    is $cp->get('/healthz', token => undef, quiet => 1), undef, 'nobody new is let in';
    is join('', <$read>), 504, 'a request under way has its answer';
    waitpid $pid, 0;
    is $cp->await_end('relayd', 20), 0, 'then it ends';
    $cp->redis('DEL', 'relay:nodes');
};

subtest 'other ways to listen' => sub {
    my $stale = IO::Socket::UNIX->new(Local => $cp->socket, Listen => 1) or die "socket: $!";
    close $stale;
    ok -S $cp->socket, 'a socket that was left behind';
    $cp->start_relayd;
    ok wait_ready(200), '... is replaced';
    $cp->stop_relayd;

    my $probe = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 1) or die;
    my $port = $probe->sockport;
    {
        local $cp->{settings} = {%{$cp->{settings}}, listen => "127.0.0.1:$port"};
        my ($status, $out) = $cp->run_relayd();
        is $status, 1, 'a port that is taken';
        like $out, qr/Address already in use/, '... says so';
        close $probe;
        $cp->start_relayd;
        my $socket;
        for (1 .. 200) { last if $socket = IO::Socket::INET->new("127.0.0.1:$port"); sleep 0.05 }
        ok $socket, 'loopback works';
        print $socket "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        like scalar(<$socket>), qr/^HTTP\S+ 200/, '... and answers';
    }
    is $cp->stop_relayd, 0;
};

subtest 'more connections than threads' => sub {
    local $cp->{settings} = {%{$cp->{settings}}, threads => 3};
    $cp->start_relayd;
    ok wait_ready(200);
    my @idle = map { IO::Socket::UNIX->new(Peer => $cp->socket) or die } 1 .. 3;
    my $fourth = IO::Socket::UNIX->new(Peer => $cp->socket) or die;
    syswrite $fourth, "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    vec(my $readable = '', fileno $fourth, 1) = 1;
    is select(my $now = $readable, undef, undef, 0.5), 0, 'wait';
    close shift @idle;
    like scalar(<$fourth>), qr/^HTTP\S+ 200/, 'until one ends';
};

$cp->done;
