package Relay::Admin;

# The harness for tests of the admin API: Relay::ControlPlane, set up, with
# things to work on, and with last checks of its own: what was changed can be
# published, and no planted secret is where it can be read.

=head1 SYNOPSIS

    use lib 't/lib';
    use Relay::Admin;                        # as Relay::ControlPlane, and problem()

    my $admin = Relay::Admin->begin;         # started and set up
    $admin->scene;                           # one thing of each kind
    my $path = $admin->path('pools');        # /api/v1/workspaces/default/pools
    my $pool = $admin->make(pools => {name => 'a'});   # the answer's document
    problem $admin->get("$path/none"), 404, 'not_found', 'no such pool';
    is $admin->stored, $before, 'nothing was written';
    $admin->secret($key);                    # must not be found anywhere
    $admin->done;

=cut

use strict;
use warnings;
use parent -norequire, 'Relay::ControlPlane';
use Carp qw(croak);
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use JSON::PP ();
use POSIX ();
use Relay::ControlPlane ();
use Test::More ();
use Time::HiRes qw(time sleep);

my $json = JSON::PP->new->canonical->utf8->allow_nonref;

sub import {
    my $caller = caller;
    no strict 'refs';
    *{"${caller}::problem"} = \&problem;
    goto &Relay::ControlPlane::import;
}

sub begin {
    my ($class, %o) = @_;
    my $self = $class->new(%o);
    $self->start;
    $self->setup;
    $self->secret($self->{token}, $self->{setup_token});
    return $self;
}

# A problem document with this status and code; pointers: what faults point at.
sub problem {
    my ($res, $status, $code, $name, @pointers) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $ok = $res->status == $status && ($res->code // '') eq $code
        && ($res->header('content-type') // '') eq 'application/problem+json'
        && (!@pointers || join(' ', sort $res->pointers) eq join ' ', sort @pointers);
    Test::More::ok($ok, "$name: $status $code @pointers") or Test::More::diag($res->status . ' ' . $res->body);
    return $ok;
}

# ---- paths, things ----------------------------------------------------------

sub path {
    my ($self, $rest, $workspace) = @_;
    return "/api/v1/$rest" if $rest =~ /^(?:api-tokens|settings|workspaces|dataplane)/;
    return '/api/v1/workspaces/' . ($workspace // 'default') . "/$rest";
}

sub make {
    my ($self, $plural, $document, %o) = @_;
    my $res = $self->post($self->path($plural, delete $o{workspace}), $document, %o);
    croak "$plural " . $json->encode($document) . ': ' . $res->status . ' ' . $res->body
        if $res->status != 201;
    $self->secret(grep { defined } @{$res->json}{qw(key token)});
    return $res->json;
}

# One thing of each kind, that refer to each other; their documents by plural.
sub scene {
    my ($self, %o) = @_;
    my $make = sub { $self->make(@_, %o) };
    my $value = 'sk-scene-' . Relay::ControlPlane::random_text();
    $self->secret($value);
    my %made = (
        hosts => $make->(hosts => {name => 'own-host', base_url => 'http://127.0.0.1:9/v1',
            formats => ['openai-chat'], local => JSON::PP::true}),
        models => $make->(models => {name => 'own/model', aliases => ['own-alias'],
            offers => [{host => 'own-host', id => 'upstream'}]}),
        'provider-keys' => $make->('provider-keys' => {name => 'key-a', host => 'own-host', value => $value}),
        pools => $make->(pools => {name => 'main', members => [{key => 'key-a', weight => 2}]}),
        policies => $make->(policies => {name => 'team', pools => ['main']}),
        'relay-keys' => $make->('relay-keys' => {name => 'app', policy => 'team', tags => {stage => 'test'}}),
    );
    return \%made;
}

# A second workspace: there is no route that makes one.
sub second_workspace {
    my ($self, $name) = @_;
    $self->sql(sprintf "INSERT INTO workspace (id, name) VALUES (gen_random_uuid(), '%s')", $name);
    return $self->get("/api/v1/workspaces/$name")->json;
}

# ---- what is stored ---------------------------------------------------------

# Counts of the rows of every table but those that reading fills.
sub rows {
    my ($self) = @_;
    $self->{count_sql} ||= join ' UNION ALL ', map { "SELECT '$_ ' || count(*) FROM $_" }
        sort grep { !/^(?:outbox|migration.*)$/ } split /\n/,
        $self->sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'");
    return $self->sql($self->{count_sql});
}

sub configuration {
    my ($self, $workspace) = @_;
    return $self->get($self->path('configuration', $workspace))->json;
}

# All of it as one text, to compare: rows, configuration, revision, tokens, settings.
sub stored {
    my ($self) = @_;
    return join "\n", $self->rows, $json->encode($self->configuration),
        $self->sql("SELECT md5(string_agg(concat_ws(' ', id, name, spec, version, revoked_at, expires_at), '|' ORDER BY id)) FROM api_token"),
        $self->sql("SELECT concat_ws(' ', settings, settings_version, revision) FROM installation");
}

# Events about one thing, the oldest first.
sub events {
    my ($self, $object, $workspace) = @_;
    my $res = $self->get($self->path('events', $workspace) . "?limit=500&object=$object");
    return reverse @{$res->json->{items}};
}

sub encode { $json->encode($_[1]) }

# A URL for programs that speak no Unix sockets: each connection is carried to relayd's.
sub tcp_url {
    my ($self) = @_;
    return $self->{tcp_url} if $self->{tcp_url};
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 16) or croak "listen: $@";
    my $pid = fork // croak "fork: $!";
    if (!$pid) {
        setpgrp;
        $SIG{CHLD} = 'IGNORE';
        while (my $in = $listener->accept) {
            next if fork;
            my $out = IO::Socket::UNIX->new(Peer => $self->socket) or POSIX::_exit(1);
            my $both = IO::Select->new($in, $out);
            while (my @ready = $both->can_read) {
                for my $from (@ready) {
                    sysread($from, my $bytes, 65536) or POSIX::_exit(0);
                    my $to = $from == $in ? $out : $in;
                    while (length $bytes) { substr $bytes, 0, syswrite($to, $bytes) // POSIX::_exit(0), '' }
                }
            }
            POSIX::_exit(0);
        }
        POSIX::_exit(0);
    }
    $self->{forwarder} = $pid;
    return $self->{tcp_url} = 'http://127.0.0.1:' . $listener->sockport;
}

sub end_forwarder {
    my ($self) = @_;
    my $pid = delete $self->{forwarder} or return;
    kill KILL => -$pid;
    waitpid $pid, 0;
}

# What a shell reads: (status, output, errors) of build/relayctl.
sub relayctl {
    my ($self, $input, @words) = @_;
    my %file = map { $_ => "$self->{dir}/relayctl.$_" } qw(in out err);
    open my $in, '>', $file{in} or croak $!;
    print {$in} $input;
    close $in;
    my $pid = fork // croak "fork: $!";
    if (!$pid) {
        delete $ENV{$_} for grep { /^RELAY_|^XDG_/ } keys %ENV;
        %ENV = (%ENV, HOME => $self->{dir}, %{$self->{relayctl_env} || {}});
        open STDIN,  '<', $file{in};
        open STDOUT, '>', $file{out};
        open STDERR, '>', $file{err};
        exec {'build/relayctl'} 'build/relayctl', @words or POSIX::_exit(127);
    }
    waitpid $pid, 0;
    return ($? >> 8, map { Relay::ControlPlane::slurp($file{$_}) } qw(out err));
}

# ---- the end ----------------------------------------------------------------

# Texts that nothing readable may have.
sub secret { my ($self, @texts) = @_; push @{$self->{secrets}}, @texts; return $texts[0] }

# The newest revision is what workers are given: nothing that was accepted stands in the way.
sub check_published {
    my ($self) = @_;
    my ($wanted, $head, $until) = ($self->sql('SELECT revision FROM installation'), -1, time + 5);
    while (time < $until) {
        ($head) = $self->redis(GET => 'relay:head') =~ /"revision":\s*(\d+)/;
        last if defined $head && $head >= $wanted;
        sleep 0.05;
    }
    Test::More::cmp_ok($head // -1, '>=', $wanted, 'the newest revision was published');
}

sub check_secrets {
    my ($self) = @_;
    my @tables = split /\n/, $self->sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'");
    my $all = join "\n", $self->log_text, map { $self->sql("SELECT t::text FROM $_ t") } grep { !/^catalog_/ } @tables;
    $all .= $self->redis(EVAL => 'local all = {} for _, key in ipairs(redis.call("KEYS", "*")) do'
        . ' all[#all + 1] = redis.call("DUMP", key) end return table.concat(all)', 0);
    my @found = grep { length $_ && index($all, $_) >= 0 } @{$self->{secrets}};
    Test::More::is(scalar @found, 0, 'no secret in Postgres, Redis or the log')
        or Test::More::diag(map { substr($_, 0, 12) . "...\n" } @found);
}

sub DESTROY { $_[0]->end_forwarder if $_[0]{owner} == $$ }

sub done {
    my ($self) = @_;
    $self->end_forwarder;
    $self->check_published;
    $self->check_secrets;
    $self->SUPER::done;
}

1;
