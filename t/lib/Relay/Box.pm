package Relay::Box;

# The whole product for a test: docker/launcher/box in a directory of its own,
# with the admin API, the database, the store and requests within reach.

=head1 SYNOPSIS

    use lib 't/lib';
    use Relay::Box;                            # strict, warnings, Test::More

    my $box = Relay::Box->new;                 # options: see "new"
    my $said = $box->start;                    # in the background; dies if it fails
    $box->set_up;                              # an admin token, used from now on
    my $res = $box->api(POST => 'relay-keys', {name => 'app', policy => 'default'});
    is $res->{status}, 201;                    # $res->{json}, $res->{headers}
    my $key = $box->serve($mock, 'm');         # a relay key that reaches the mock as model m
    $res = $box->chat($key, 'm');              # $res->{seconds}
    $box->sql('SELECT 1'); $box->redis('GET', 'relay:head');
    kill KILL => $box->part('relayd');         # or nginx, redis, postgres, box
    $box->done;                                # stops, last checks, done_testing

A path without a slash in front is one of the default workspace.

=cut

use strict;
use warnings;
use Carp qw(croak);
use Cwd ();
use File::Basename ();
use File::Glob qw(bsd_glob);
use File::Temp ();
use HTTP::Tiny;
use JSON::PP ();
use POSIX ();
use Test::More ();
use Time::HiRes qw(time sleep);

use Relay::Test ();

my $root = Cwd::abs_path(File::Basename::dirname(__FILE__) . '/../../..');
my $json = JSON::PP->new->canonical->utf8->allow_nonref;
my @instances;

sub import {
    strict->import;
    warnings->import;
    my $caller = caller;
    no strict 'refs';
    *{"${caller}::$_"} = \&$_ for qw(slurp within);
    eval "package $caller; Test::More->import; use Time::HiRes qw(time sleep); 1" or die $@;
    Test::More->builder->failure_output(\*STDERR);
}

# Options: home (RELAY_HOME), env (variables for the launcher), as (words in front
# of its command), launcher (another copy of it), allow ([regex ...] of lines of
# nginx's log that the last checks forgive).
sub new {
    my ($class, %o) = @_;
    my $self = bless {env => {}, as => [], allow => [], launcher => "$root/docker/launcher/box", %o,
        owner => $$, dir => File::Temp->newdir('relay-box-XXXXXX', TMPDIR => 1,
            CLEANUP => $ENV{RELAY_KEEP} ? 0 : 1)}, $class;
    chmod 0755, "$self->{dir}";
    $self->{home} ||= "$self->{dir}/home";
    $self->{port} ||= Relay::Test::free_port();
    $self->{admin_port} ||= Relay::Test::free_port();
    push @instances, $self;
    return $self;
}

sub home { $_[0]{home} }
sub dir { "$_[0]{dir}" }
sub port { $_[0]{port} }
sub url { "http://127.0.0.1:$_[0]{port}" }
sub admin_url { "http://127.0.0.1:$_[0]{admin_port}" }

# ---- the launcher -----------------------------------------------------------

sub environment {
    my ($self, %more) = @_;
    my %env = map { $_ => $ENV{$_} } grep { !/^(?:RELAY_|PG)|_API_KEY$/
        || /^RELAY_(?:NGINX|MODULE|RELAYD)$/ } keys %ENV;
    return (%env, RELAY_HOME => $self->{home}, RELAY_PORT => $self->{port},
        RELAY_ADMIN_PORT => $self->{admin_port}, DETACH => 1, %{$self->{env}}, %more);
}

# Becomes the launcher.
sub become {
    my ($self, $command, %env) = @_;
    %ENV = $self->environment(%env);
    $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
    my @command = (@{$self->{as}}, $self->{launcher}, $command);
    exec { $command[0] } @command or do { print "$command[0]: $!\n"; POSIX::_exit(127) };
}

# ($status, $output); stdin: what is typed.
sub launch {
    my ($self, $command, %env) = @_;
    my $typed = delete $env{stdin};
    $self->write("$self->{dir}/typed", defined $typed ? $typed : '');
    my $pid = open(my $pipe, '-|') // croak "fork: $!";
    if (!$pid) {
        open STDIN,  '<',  "$self->{dir}/typed" or die $!;
        open STDERR, '>&', \*STDOUT or die $!;
        $self->become($command, %env);
    }
    local $/;
    my $output = <$pipe>;
    close $pipe;
    return ($? >> 8, $output);
}

sub start {
    my ($self, %env) = @_;
    my ($status, $output) = $self->launch('start', %env);
    croak "start: status $status: $output" . $self->logs if $status;
    ($self->{key}) = $output =~ /Relay key +(\S+)/;
    ($self->{setup_token}) = $output =~ /Set-up token +(\S+)/;
    return $output;
}

# In front: returns its process; what it says is in "$dir/said".
sub start_in_front {
    my ($self, %env) = @_;
    $self->write("$self->{dir}/said", '');
    my $pid = fork // croak "fork: $!";
    if (!$pid) {
        POSIX::setpgid(0, 0);
        open STDIN,  '<',  '/dev/null' or die $!;
        open STDOUT, '>>', "$self->{dir}/said" or die $!;
        open STDERR, '>&', \*STDOUT or die $!;
        $self->become('start', DETACH => '', %env);
    }
    return $pid;
}

sub said { slurp("$_[0]{dir}/said") }

sub stop { $_[0]->launch('stop') }

sub key { $_[0]{key} }
sub setup_token { $_[0]{setup_token} || slurp("$_[0]{home}/setup_token") =~ s/\n//r }

# The process of nginx, relayd, redis, postgres or box, or undef.
sub part {
    my ($self, $name) = @_;
    my ($pid) = slurp("$self->{home}/pids/$name") =~ /^(\d+) /;
    return $pid && kill(0, $pid) ? $pid : undef;
}

sub workers {
    my ($self) = @_;
    my $master = $self->part('nginx') or return;
    return sort { $a <=> $b } split ' ', `pgrep -P $master`;
}

# Every process that has the lock open: all of the product.
sub processes {
    my ($self) = @_;
    my $lock = Cwd::realpath($self->{home}) . '/lock';
    return map { m{^/proc/(\d+)} } grep { (readlink || '') eq $lock } glob '/proc/[0-9]*/fd/9';
}

# The segments of its Postgres.
sub shared_memory {
    my ($self) = @_;
    my %seen;
    return grep { !$seen{$_}++ } slurp('/proc/' . $self->part('postgres') . '/maps') =~ m{(/dev/shm/PostgreSQL\S+)}g;
}

sub sockets {
    my ($self) = @_;
    my ($path) = slurp("$self->{home}/nginx.conf") =~ /server "unix:(.*)\/relayd\/relayd\.sock"/;
    return $path;
}

# Where Postgres, Redis and the workers keep what they have.
sub state {
    my ($self) = @_;
    my ($path) = slurp("$self->{home}/nginx.conf") =~ /relay_store_state "(.*)\/workers"/;
    return $path;
}

sub logs {
    my ($self) = @_;
    return join '', map { "\n--- $_\n" . tail(slurp($_)) } bsd_glob("$self->{home}/logs/*.log");
}

sub tail { join '', map { substr($_, 0, 300) . "\n" } grep { defined } (split /\n/, $_[0])[-12 .. -1] }

# ---- the admin API ----------------------------------------------------------

sub set_up {
    my ($self) = @_;
    my $res = $self->api(POST => '/api/v1/setup', {setup_token => $self->setup_token});
    croak "set-up: $res->{status} $res->{content}" if $res->{status} != 201;
    return $self->{token} = $res->{json}{token};
}

sub api {
    my ($self, $method, $path, $body, %headers) = @_;
    $path = "/api/v1/workspaces/default/$path" if $path !~ m{^/};
    $headers{Authorization} = "Bearer $self->{token}" if $self->{token} && !$headers{Authorization};
    return $self->ask($method, $self->admin_url . $path, $body, \%headers);
}

# As api(); dies if it is refused; returns what was answered.
sub make {
    my ($self, @request) = @_;
    my $res = $self->api(@request);
    croak "@request[0, 1]: $res->{status} $res->{content}" if $res->{status} !~ /^2/;
    return $res->{json};
}

# Changes a thing that is there.
sub change {
    my ($self, $path, $body) = @_;
    return $self->make(PATCH => "$path?wait=applied", $body, 'If-Match' => '*');
}

# A host, a model, a provider key, a pool, a policy and a relay key, all called
# NAME: requests with the relay key for the model NAME reach the mock.
sub serve {
    my ($self, $mock, $name, %o) = @_;
    $self->make(POST => 'hosts', {name => $name, base_url => (ref $mock ? $mock->url : $mock) . '/v1',
        formats => ['openai-chat'], local => JSON::PP::true, %{$o{host} || {}}});
    $self->make(POST => 'models', {name => $name, offers => [{host => $name, id => "up-$name"}]});
    $self->make(POST => 'provider-keys', {name => $name, host => $name,
        $o{value_from} ? (value_from => $o{value_from}) : (value => $o{value} || "secret-of-$name")});
    $self->make(POST => 'pools', {name => $name, members => [{key => $name}]});
    $self->make(POST => 'policies', {name => $name, pools => [$name]});
    return $self->mint($name, policy => $name);
}

sub mint {
    my ($self, $name, %o) = @_;
    return $self->make(POST => 'relay-keys?wait=applied', {name => $name, policy => 'default', %o})->{key};
}

# What the workers say.
sub nodes { @{$_[0]->make(GET => '/api/v1/dataplane/nodes')->{items}} }

# ---- requests ---------------------------------------------------------------

sub ask {
    my ($self, $method, $url, $body, $headers) = @_;
    my $http = HTTP::Tiny->new(timeout => 30, keep_alive => 0, agent => 'relay-test');
    my $begin = time;
    my $res = $http->request($method, $url, {headers => {%{$headers || {}},
        defined $body ? ('Content-Type' => 'application/json') : ()},
        defined $body ? (content => ref $body ? $json->encode($body) : $body) : ()});
    $res->{seconds} = time - $begin;
    $res->{json} = eval { $json->decode($res->{content}) };
    return $res;
}

sub chat {
    my ($self, $key, $model, %o) = @_;
    return $self->ask(POST => $self->url . '/v1/chat/completions', {model => $model || 'relay/echo',
        messages => [{role => 'user', content => 'Hello'}], %o}, {Authorization => "Bearer $key"});
}

# ---- engines ----------------------------------------------------------------

# As the owner of the cluster, which no row is hidden from.
sub run_postgres_client {
    my ($self, $program, @words) = @_;
    my ($bin) = sort { $b cmp $a } glob '/usr/lib/postgresql/*/bin';
    my $pid = open(my $client, '-|') // croak "fork: $!";
    if (!$pid) {
        $ENV{PGPASSWORD} = slurp("$self->{home}/keys/postgres_password") =~ s/\n//r;
        exec "$bin/$program", '-h', $self->sockets . '/postgres', '-U', 'relay_owner', @words
            or POSIX::_exit(127);
    }
    local $/;
    my $out = <$client>;
    close $client or croak "$program @words: status $?";
    return $out;
}

sub sql {
    my ($self, $sql) = @_;
    return $self->run_postgres_client('psql', '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1',
        '-d', 'relay', '-c', $sql) =~ s/\n\z//r;
}

sub dump_database { $_[0]->run_postgres_client('pg_dumpall') }

sub redis {
    my ($self, @words) = @_;
    my $pid = open(my $cli, '-|') // croak "fork: $!";
    if (!$pid) {
        $ENV{REDISCLI_AUTH} = slurp("$self->{home}/keys/redis_password") =~ s/\n//r;
        open STDERR, '>&', \*STDOUT;
        exec 'redis-cli', '-s', $self->sockets . '/redis/redis.sock', '--raw', @words or POSIX::_exit(127);
    }
    binmode $cli;
    local $/;
    my $out = <$cli>;
    close $cli;
    return $out =~ s/\n\z//r;
}

# ---- the end ----------------------------------------------------------------

sub finish {
    my ($self) = @_;
    my $log = slurp("$self->{home}/logs/error.log");
    my $sockets = $self->sockets;
    my ($status, $output) = $self->stop;
    Test::More::is($status, 0, 'stops when asked') or Test::More::diag($output);
    Test::More::is(join(' ', $self->processes), '', 'no process is left');
    Test::More::ok(!$sockets || !-e $sockets, 'nor a socket');
    my @faults = grep { my $line = $_; !grep { $line =~ $_ } @{$self->{allow}} }
        grep { /\[(?:alert|emerg|crit)\]|exited on signal|Sanitizer/ } split /\n/, $log;
    Test::More::is(scalar @faults, 0, 'nothing in the log of nginx that must not be there')
        or Test::More::diag(join "\n", @faults[0 .. ($#faults > 9 ? 9 : $#faults)]);
}

sub done {
    my ($self) = @_;
    $self->finish;
    Test::More::done_testing();
}

END {
    my $status = $?;
    for my $self (grep { $_->{owner} == $$ } @instances) {
        next if !-e "$self->{home}/lock" && !-d "$self->{home}";
        Test::More::diag($self->logs) if $status || !Test::More->builder->is_passing;
        $self->launch('stop', RELAY_STOP_AFTER_S => 1) if -e "$self->{home}/lock";
        $self->launch('reset', RELAY_RESET => 'yes') if !$ENV{RELAY_KEEP} && -e "$self->{home}/lock";
    }
    $_->stop for @Relay::Mock::ALL;
    $? = $status;
}

# ---- tools ------------------------------------------------------------------

sub slurp {
    my ($file) = @_;
    open my $fh, '<:raw', $file or return '';
    local $/;
    return scalar(<$fh>) // '';
}

sub write {
    my ($self, $file, $text) = @_;
    open my $fh, '>:raw', $file or croak "$file: $!";
    print {$fh} $text;
    close $fh or croak "$file: $!";
    return $file;
}

sub within {
    my ($seconds, $condition) = @_;
    my $until = time + $seconds;
    while (time < $until) {
        return 1 if $condition->();
        sleep 0.05;
    }
    return 0;
}

1;
