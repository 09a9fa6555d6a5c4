package Relay::ControlPlane;

# The harness for relayd: a private Postgres, a private Redis and relayd, all on
# Unix sockets in one directory, a small HTTP client, and the last checks that
# every file must pass. Each response is held against the OpenAPI document.

=head1 SYNOPSIS

    use lib 't/lib';
    use Relay::ControlPlane;                     # strict, warnings, Test::More

    my $cp = Relay::ControlPlane->new;           # options: see "new"
    $cp->start;                                  # returns when /readyz is 200
    my $token = $cp->setup;                      # an admin token, used from now on
    my $res = $cp->post('/api/v1/workspaces/default/pools', {name => 'a', members => []});
    is $res->status, 201;
    is $res->json->{name}, 'a';
    $cp->patch($path, {...}, 'If-Match' => $res->header('etag'));
    $cp->get($path, token => $other);            # undef: without a token
    $cp->request(POST => $path, body => '{"raw":', headers => ['X' => 'y']);
    $cp->sql('SELECT count(*) FROM pool');       # as the owner of the database
    $cp->redis('GET', 'relay:head');
    $cp->stop_postgres; $cp->start_postgres;     # or redis, relayd; kill_relayd(9)
    $cp->done;                                   # stops, last checks, done_testing

RELAY_RELAYD names another relayd, RELAY_KEEP=1 keeps the directory.

=cut

use strict;
use warnings;
use Carp qw(croak);
use Cwd ();
use File::Basename ();
use File::Path ();
use File::Temp ();
use IO::Select;
use IO::Socket::UNIX;
use JSON::PP ();
use JSON::Validator;
use MIME::Base64 qw(encode_base64url);
use POSIX qw(WNOHANG);
use Test::More ();
use Time::HiRes qw(time sleep);

my $root = Cwd::abs_path(File::Basename::dirname(__FILE__) . '/../../..');
my $json = JSON::PP->new->canonical->utf8->allow_nonref;
my @instances;

sub import {
    strict->import;
    warnings->import;
    my $caller = caller;
    eval "package $caller; Test::More->import; use Time::HiRes qw(time sleep); 1" or die $@;
    Test::More->builder->failure_output(\*STDERR);
}

$SIG{INT} = $SIG{TERM} = sub { exit 1 };
$SIG{PIPE} = 'IGNORE';

# Options: settings (names of settings.c => value, over what the harness sets),
# env (variables for relayd), role ('superuser', or 'owner': a role that row-level
# security holds), allow ([regex ...] of log lines that the last checks forgive).
sub new {
    my ($class, %o) = @_;
    my $self = bless {role => 'superuser', allow => [], settings => {}, env => {}, %o, owner => $$,
        dir => File::Temp->newdir('relayd-XXXXXX', TMPDIR => 1,
            CLEANUP => $ENV{RELAY_KEEP} ? 0 : 1)}, $class;
    chmod 0755, "$self->{dir}";
    $self->{$_} = ring("test-$_") for qw(master_key dataplane_key signing_key);
    $self->{setup_token} = 'set-up-' . random_text();
    push @instances, $self;
    return $self;
}

sub dir { "$_[0]{dir}" }
sub pid { $_[0]{pids}{relayd} }
sub setup_token { $_[0]{setup_token} }
sub socket { "$_[0]{dir}/relayd.sock" }
sub redis_url { "unix:$_[0]{dir}/redis.sock" }
sub relayd_binary { $ENV{RELAY_RELAYD} || "$root/build/relayd" }

sub random_bytes {
    my ($count) = @_;
    open my $fh, '<:raw', '/dev/urandom' or croak "/dev/urandom: $!";
    read($fh, my $bytes, $count) == $count or croak 'no random bytes';
    return $bytes;
}

sub random_text { encode_base64url(random_bytes(24)) }
sub ring { "$_[0] " . encode_base64url(random_bytes(32)) . "\n" }

# ---- processes --------------------------------------------------------------

# Starts a program in a process group of its own; user: another one, if we are root.
sub spawn {
    my ($self, $name, $command, %o) = @_;
    open my $log, '>>', "$self->{dir}/$name.log" or croak "$name.log: $!";
    my $pid = fork // croak "fork: $!";
    if (!$pid) {
        setpgrp;
        become($o{user}) if $o{user} && $> == 0;
        open STDIN,  '<',  '/dev/null' or die $!;
        open STDOUT, '>&', $log        or die $!;
        open STDERR, '>&', $log        or die $!;
        chdir '/';
        delete $ENV{$_} for grep { /^(?:RELAY_|PG)/ } keys %ENV;
        %ENV = (%ENV, %{$o{env} || {}});
        exec { $command->[0] } @$command or do { print STDERR "$command->[0]: $!\n"; POSIX::_exit(127) };
    }
    $self->{pids}{$name} = $pid;
    $self->{groups}{$pid} = $name;
    return $pid;
}

sub become {
    my ($user) = @_;
    my (undef, undef, $uid, $gid) = getpwnam($user) or die "no user $user\n";
    $) = "$gid $gid";
    POSIX::setgid($gid);
    POSIX::setuid($uid);
    die "cannot become $user\n" if $> != $uid;
}

# The exit status as waitpid has it, or undef if it did not end in time.
sub await_end {
    my ($self, $name, $seconds) = @_;
    my $pid = $self->{pids}{$name} or return;
    my $until = time + ($seconds || 15);
    while (time < $until) {
        if (waitpid($pid, WNOHANG) == $pid) { delete $self->{pids}{$name}; return $? }
        sleep 0.01;
    }
    return;
}

sub end_process {
    my ($self, $name, $signal, $seconds) = @_;
    my $pid = $self->{pids}{$name} or return;
    kill $signal => $pid;
    my $status = $self->await_end($name, $seconds);
    return $status if defined $status;
    kill KILL => -$pid;
    waitpid $pid, 0;
    delete $self->{pids}{$name};
    return;
}

sub wait_until {
    my ($what, $seconds, $ready) = @_;
    my $until = time + $seconds;
    while (time < $until) {
        return 1 if $ready->();
        sleep 0.02;
    }
    croak "$what: not within $seconds s";
}

# ---- Postgres and Redis -----------------------------------------------------

sub postgres_bin {
    my @found = sort { ($b =~ /(\d+)/)[0] <=> ($a =~ /(\d+)/)[0] }
        glob '/usr/lib/postgresql/*/bin';
    return $found[0] || croak 'the package postgresql is not installed';
}

sub run_as_postgres {
    my ($self, @command) = @_;
    my $pid = fork // croak "fork: $!";
    if (!$pid) {
        become('postgres') if $> == 0;
        chdir '/';
        open STDOUT, '>>', "$self->{dir}/postgres.log";
        open STDERR, '>&', \*STDOUT;
        exec { $command[0] } @command or POSIX::_exit(127);
    }
    waitpid $pid, 0;
    croak "@command: status $?, see $self->{dir}/postgres.log" if $?;
}

sub make_postgres {
    my ($self) = @_;
    my $dir = "$self->{dir}/postgres";
    mkdir $dir or croak "$dir: $!";
    open my $log, '>>', "$self->{dir}/postgres.log" or croak $!;
    if ($> == 0) {
        my (undef, undef, $uid, $gid) = getpwnam('postgres');
        chown $uid, $gid, $dir, "$self->{dir}/postgres.log";
    }
    $self->run_as_postgres(postgres_bin() . '/initdb', '-D', "$dir/data", '-U', 'postgres',
        '-A', 'trust', '-E', 'UTF8', '--no-locale', '--no-sync');
    $self->start_postgres;
    $self->sql_in('postgres', 'CREATE ROLE relay_owner LOGIN NOSUPERUSER CREATEROLE');
    $self->sql_in('postgres', 'CREATE DATABASE relay OWNER relay_owner');
}

sub start_postgres {
    my ($self) = @_;
    my $dir = "$self->{dir}/postgres";
    $self->spawn(postgres => [postgres_bin() . '/postgres', '-D', "$dir/data", '-k', $dir,
        '-c', 'listen_addresses=', '-c', 'fsync=off', '-c', 'max_connections=40',
        '-c', 'shared_buffers=16MB', '-c', 'log_min_messages=warning'], user => 'postgres');
    wait_until('Postgres', 20, sub { system(postgres_bin() . "/pg_isready -q -h $dir") == 0 });
}

# Fast: connections are cut, as a restart does it.
sub stop_postgres { $_[0]->end_process(postgres => 'INT') }

sub dsn {
    my ($self, $role) = @_;
    my $user = ($role || $self->{role}) eq 'owner' ? 'relay_owner' : 'postgres';
    return "host=$self->{dir}/postgres user=$user dbname=relay";
}

sub sql_in {
    my ($self, $database, $sql) = @_;
    open my $psql, '-|', postgres_bin() . '/psql', '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1',
        '-h', "$self->{dir}/postgres", '-U', 'postgres', '-d', $database, '-c', $sql
        or croak "psql: $!";
    my $out = join '', <$psql>;
    close $psql or croak "psql: $sql: status $?";
    return $out =~ s/\n\z//r;
}

sub sql { $_[0]->sql_in('relay', $_[1]) }

sub start_redis {
    my ($self) = @_;
    $self->spawn(redis => ['redis-server', '--port', '0', '--unixsocket', "$self->{dir}/redis.sock",
        '--save', '', '--appendonly', 'no', '--dir', "$self->{dir}"]);
    wait_until('Redis', 10, sub { $self->redis('PING') eq 'PONG' });
}

sub stop_redis { $_[0]->end_process(redis => 'TERM') }

sub redis {
    my ($self, @words) = @_;
    return '' if !-S "$self->{dir}/redis.sock";
    open my $cli, '-|', 'redis-cli', '-s', "$self->{dir}/redis.sock", '--raw', @words or croak $!;
    my $out = join '', <$cli>;
    close $cli;
    return $out =~ s/\n\z//r;
}

# ---- relayd -----------------------------------------------------------------

# The environment that relayd is started with.
sub settings {
    my ($self) = @_;
    my %set = (pg_dsn => $self->dsn, redis_url => $self->redis_url,
        listen => 'unix:' . $self->socket, log_level => 'debug',
        (map { $_ => $self->{$_} } qw(master_key dataplane_key signing_key setup_token)),
        %{$self->{settings}});
    return {map { ('RELAY_' . uc $_) => $set{$_} } grep { defined $set{$_} } keys %set};
}

sub start {
    my ($self) = @_;
    $self->make_postgres if !-d "$self->{dir}/postgres";
    $self->start_redis if !$self->{pids}{redis};
    $self->start_relayd;
    wait_until('relayd', 30, sub {
        croak "relayd ended:\n" . $self->log_text if defined $self->await_end('relayd', 0.001);
        my $res = $self->request(GET => '/readyz', token => undef, quiet => 1);
        $res && $res->status == 200;
    });
    return $self;
}

sub start_relayd {
    my ($self, @flags) = @_;
    my %asan = map { $_ => $ENV{$_} } grep { /^[AU]\w*SAN_OPTIONS$/ } keys %ENV;
    return $self->spawn(relayd => [relayd_binary(), @flags],
        env => {%asan, %{$self->settings}, %{$self->{env}}});
}

sub stop_relayd { $_[0]->end_process(relayd => 'TERM', 30) }
sub kill_relayd { $_[0]->end_process(relayd => $_[1] || 'KILL') }

# Runs relayd to its end: (status, output).
sub run_relayd {
    my ($self, @flags) = @_;
    my $before = -s "$self->{dir}/once.log" || 0;
    $self->spawn(once => [relayd_binary(), @flags], env => {%{$self->settings}, %{$self->{env}}});
    my $status = $self->await_end('once', 30);
    croak "relayd @flags did not end" if !defined $status;
    return ($status >> 8, substr(slurp("$self->{dir}/once.log"), $before));
}

sub slurp {
    my ($file) = @_;
    open my $fh, '<:raw', $file or return '';
    local $/;
    return scalar(<$fh>) // '';
}

sub log_text { slurp("$_[0]{dir}/relayd.log") }

# What relayd logged, decoded; lines that are not JSON as {raw => line}.
sub log {
    my ($self) = @_;
    return map { my $line = $_; eval { $json->decode($line) } || {raw => $line} }
        split /\n/, $self->log_text;
}

# ---- HTTP -------------------------------------------------------------------

# An admin token by the set-up token; requests use it from now on.
sub setup {
    my ($self) = @_;
    my $res = $self->post('/api/v1/setup', {setup_token => $self->{setup_token}}, token => undef);
    croak 'set-up: ' . $res->status . ' ' . $res->body if $res->status != 201;
    return $self->{token} = $res->json->{token};
}

sub token { $_[0]{token} = $_[1] if @_ > 1; $_[0]{token} }

sub get    { my ($self, $path, %o) = @_; $self->call(GET => $path, undef, %o) }
sub delete { my ($self, $path, %o) = @_; $self->call(DELETE => $path, undef, %o) }
sub post   { my ($self, $path, $body, %o) = @_; $self->call(POST => $path, $body, %o) }
sub put    { my ($self, $path, $body, %o) = @_; $self->call(PUT => $path, $body, %o) }
sub patch  { my ($self, $path, $body, %o) = @_; $self->call(PATCH => $path, $body, %o) }

# Names that are no option of request() are headers.
sub call {
    my ($self, $method, $path, $body, %o) = @_;
    my %options = map { exists $o{$_} ? ($_ => delete $o{$_}) : () } qw(token headers quiet timeout);
    return $self->request($method => $path, %options, body => $body,
        headers => [@{$options{headers} || []}, %o]);
}

# body: bytes, or a reference that is sent as JSON; token: undef for none; quiet:
# undef instead of dying when nobody answers; raw: all of the request's bytes.
sub request {
    my ($self, $method, $path, %o) = @_;
    my $token = exists $o{token} ? $o{token} : $self->{token};
    my $body = ref $o{body} ? $json->encode($o{body}) : $o{body};
    my @headers = (Host => 'relayd', Connection => 'close', @{$o{headers} || []});
    my %given = map { lc $_ => 1 } @headers[grep { !($_ & 1) } 0 .. $#headers];
    push @headers, Authorization => "Bearer $token" if defined $token && !$given{authorization};
    push @headers, 'Content-Type' => 'application/json'
        if defined $body && !$given{'content-type'};
    push @headers, 'Content-Length' => length $body
        if defined $body && !$given{'content-length'} && !$given{'transfer-encoding'};
    my $text = "$method $path HTTP/1.1\r\n";
    while (my ($name, $value) = splice @headers, 0, 2) { $text .= "$name: $value\r\n" }
    $text .= "\r\n" . ($body // '');

    my $bytes = $self->exchange($o{raw} // $text, $o{timeout} || 30);
    if (!length $bytes) {
        return if $o{quiet};
        croak "$method $path: no answer";
    }
    my $res = Relay::ControlPlane::Response->new($bytes);
    $self->validate($method, $path, $res) if !$o{raw} && !$o{unchecked} && $path !~ m{/openapi\.json};
    return $res;
}

sub exchange {
    my ($self, $text, $seconds) = @_;
    my $socket = IO::Socket::UNIX->new(Peer => $self->socket) or return '';
    my ($until, $in, $out) = (time + $seconds, '', $text);
    $socket->blocking(0);
    while (time < $until) {
        my $readable = IO::Select->new($socket);
        my ($r, $w) = IO::Select->select($readable, length $out ? $readable : undef, undef, 0.5);
        if ($w && @$w) {
            my $sent = syswrite $socket, $out;
            defined $sent ? substr($out, 0, $sent, '') : $!{EAGAIN} || ($out = '');
        }
        next if !$r || !@$r;
        my $got = sysread $socket, $in, 65536, length $in;
        last if defined $got ? $got == 0 : !$!{EAGAIN};
    }
    return $in;
}

# ---- the OpenAPI document ---------------------------------------------------

sub openapi {
    my ($self) = @_;
    return $self->{openapi} if $self->{openapi};
    my $res = $self->request(GET => '/api/v1/openapi.json', token => undef);
    return $self->{openapi} = $res->json;
}

# (template, operation) of a path as sent; the most literal one.
sub operation {
    my ($self, $method, $path) = @_;
    my $paths = $self->openapi->{paths};
    $path =~ s/\?.*//s;
    for my $template (sort { ($a =~ tr/{//) <=> ($b =~ tr/{//) || length $b <=> length $a } keys %$paths) {
        my $pattern = join '', map { /^\{/ ? '[^/:]+' : quotemeta } split /(\{\w+\})/, $template;
        next if $path !~ /^$pattern$/;
        return ($template, $paths->{$template}{lc($method eq 'HEAD' ? 'GET' : $method)});
    }
    return;
}

sub check_schema {
    my ($self, $name, $schema, $value) = @_;
    my $validator = $self->{validators}{$name} ||= JSON::Validator->new->schema({
        '$schema' => 'https://json-schema.org/draft/2019-09/schema', %$schema,
        components => $self->openapi->{components}});
    return $validator->validate($value);
}

# A fault in an answer is a failed test of its own.
sub validate {
    my ($self, $method, $path, $res) = @_;
    my @faults = $self->faults_of($method, $path, $res);
    Test::More::ok(0, "$method $path answers as the OpenAPI document says") if @faults;
    Test::More::diag("$_\n" . substr $res->body, 0, 1000) for @faults;
}

sub faults_of {
    my ($self, $method, $path, $res) = @_;
    my ($template, $operation) = $self->operation($method, $path);
    my $status = $res->status;
    my @faults;
    push @faults, 'no x-request-id' if !defined $res->header('x-request-id');
    push @faults, 'may be cached' if ($res->header('cache-control') // '') ne 'no-store';

    my $documented = $operation && ($operation->{responses}{$status} || $operation->{responses}{default});
    return (@faults, "status $status on a path that is not documented")
        if !$documented && $status != 404 && $status != 405 && $status != 400;
    return @faults if $method eq 'HEAD';
    my $content = !$documented || $documented->{'$ref'}
        ? $self->openapi->{components}{responses}{Problem}{content} : $documented->{content};
    return (@faults, length $res->body ? 'a body where none is documented' : ()) if !$content;

    my ($type) = ($res->header('content-type') // '') =~ /^([^;]*)/;
    my $schema = $content->{$type}{schema} or return (@faults, "content type $type is not documented");
    return @faults if $type !~ /json/;
    my $value = eval { $json->decode($res->body) };
    return (@faults, "not JSON: $@") if $@;
    push @faults, "status in the body is $value->{status}"
        if $type eq 'application/problem+json' && $value->{status} != $status;
    return (@faults, $self->check_schema("$type $status " . ($operation->{operationId} // ''), $schema, $value));
}

# ---- the end ----------------------------------------------------------------

sub check_log {
    my ($self) = @_;
    my @bad = grep {
        my $line = $_;
        (exists $line->{raw} || $line->{level} eq 'error')
            && !grep { $json->encode($line) =~ $_ } @{$self->{allow}};
    } $self->log;
    Test::More::is(scalar @bad, 0, 'nothing unexpected in the log of relayd')
        or Test::More::diag(map { $json->encode($_) . "\n" } @bad[0 .. ($#bad > 9 ? 9 : $#bad)]);
}

sub stop {
    my ($self) = @_;
    my $ran = $self->{pids}{relayd};
    my $status = $self->stop_relayd;
    $self->stop_redis;
    $self->stop_postgres;
    return $ran ? $status : 0;
}

sub done {
    my ($self) = @_;
    Test::More::is($self->stop, 0, 'relayd stops when asked, with status 0');
    $self->check_log;
    my @left = grep { kill 0 => -$_ } keys %{$self->{groups} || {}};
    Test::More::is(scalar @left, 0, 'no process is left')
        or Test::More::diag("left: @{$self->{groups}}{@left}");
    Test::More::ok(!-e $self->socket, 'the socket is gone');
    Test::More::done_testing();
}

END {
    my $status = $?;
    for my $self (grep { $_->{owner} == $$ } @instances) {
        kill KILL => -$_ for keys %{$self->{groups} || {}};
        waitpid $_, 0 for values %{$self->{pids} || {}};
    }
    $? = $status;
}

package Relay::ControlPlane::Response;

sub new {
    my ($class, $bytes) = @_;
    # Interim answers are passed over.
    $bytes =~ s/^HTTP\/1\.1 1\d\d .*?\r\n\r\n//s;
    my ($head, $body) = split /\r\n\r\n/, $bytes, 2;
    my ($line, @headers) = split /\r\n/, $head // '';
    my ($status) = $line =~ /^HTTP\/1\.[01] (\d{3})/ or Carp::croak("not an answer: $bytes");
    return bless {status => $status, body => $body // '',
        headers => [map { [/^([^:]+):\s*(.*)$/] } @headers]}, $class;
}

sub status { $_[0]{status} }
sub body { $_[0]{body} }
sub json { $json->decode($_[0]{body}) }
sub code { my $value = eval { $_[0]->json }; ref $value ? $value->{code} : undef }
sub pointers { map { $_->{pointer} } @{$_[0]->json->{faults} || []} }

sub header {
    my ($self, $name) = @_;
    for my $pair (@{$self->{headers}}) { return $pair->[1] if lc $pair->[0] eq lc $name }
    return;
}

1;
