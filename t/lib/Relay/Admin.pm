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
use Socket qw(SOL_SOCKET SO_RCVTIMEO);
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

# A request on a connection that is kept, its answer not held against a schema:
# for thousands of them.
sub quick {
    my ($self, $method, $path, $body, @headers) = @_;
    my $text = "$method $path HTTP/1.1\r\nHost: relayd\r\n";
    push @headers, Authorization => "Bearer $self->{token}" if !grep { ($_ // '') eq 'Authorization' } @headers;
    push @headers, 'Content-Type' => 'application/json', 'Content-Length' => length $body if defined $body;
    while (my ($name, $value) = splice @headers, 0, 2) { $text .= "$name: $value\r\n" if defined $value }
    $text .= "\r\n" . ($body // '');
    for my $attempt (1, 2) {
        my $kept = $self->{quick} && $self->{quick}{owner} == $$;
        $self->{quick} = {owner => $$, socket => IO::Socket::UNIX->new(Peer => $self->socket)} if !$kept;
        my $in = answer_on($self->{quick}{socket}, $text, $method eq 'HEAD');
        return Relay::ControlPlane::Response->new($in) if defined $in;
        delete $self->{quick};
        last if !$kept; # a new connection does not fail
    }
    croak "$method $path: no answer";
}

sub answer_on {
    my ($socket, $text, $bare) = @_;
    my ($in, $want) = ('');
    setsockopt $socket, SOL_SOCKET, SO_RCVTIMEO, pack 'l!l!', 20, 0;
    while (length $text) { substr $text, 0, syswrite($socket, $text) // return, '' }
    while (!defined $want || length $in < $want) {
        sysread($socket, $in, 65536, length $in) or return;
        $want = $+[0] + ($1 =~ /^content-length: *(\d+)/mi && !$bare ? $1 : 0) if !defined $want && $in =~ /^(.*?)\r\n\r\n/s;
    }
    return $in;
}

# ---- a good request for each operation ----------------------------------------

my %on_host = (base_url => 'http://127.0.0.1:9/v1', formats => ['openai-chat'], local => JSON::PP::true);
my %requests = (
    getHealth => ['/healthz'], getReadiness => ['/readyz'], getMetrics => ['/metrics'],
    getVersion => ['/api/v1/version'], getOpenApi => ['/api/v1/openapi.json'], setUp => ['/api/v1/setup', {setup_token => 'x'}],
    getSettings => ['settings'], updateSettings => ['settings', {}],
    listApiTokens => ['api-tokens'], createApiToken => ['api-tokens', {name => 'new', role => 'viewer', scopes => ['api-tokens:admin']}],
    getApiToken => ['api-tokens/robot'], updateApiToken => ['api-tokens/robot', {}],
    revokeApiToken => ['api-tokens/robot:revoke'], deleteApiToken => ['api-tokens/robot'],
    listWorkspaces => ['workspaces'], getWorkspace => ['workspaces/default'], updateWorkspace => ['workspaces/default', {}],
    listNodes => ['dataplane/nodes'], listEvents => ['events'], listAllEvents => ['/api/v1/events'],
    (map { my ($one, $many, $plural, $target, $new, $put) = @$_;
        ("list$many" => [$plural], "create$one" => [$plural, {name => 'new', %$new}], "get$one" => ["$plural/$target"],
            "update$one" => ["$plural/$target", {}], "delete$one" => ["$plural/$target"],
            $put ? ("replace$one" => ["$plural/$target", {name => $target, %$new}]) : ()) }
        ['Host', 'Hosts', 'hosts', 'own-host', \%on_host], ['Model', 'Models', 'models', 'own%2Fmodel', {offers => [{host => 'own-host'}]}],
        ['ProviderKey', 'ProviderKeys', 'provider-keys', 'key-a', {host => 'own-host', value => 'sk-input'}, 1],
        ['Pool', 'Pools', 'pools', 'main', {}, 1], ['Policy', 'Policies', 'policies', 'team', {}, 1],
        ['RelayKey', 'RelayKeys', 'relay-keys', 'app', {policy => 'team'}, 1]),
    rotateProviderKey => ['provider-keys/key-a:rotate', {value => 'sk-input'}], rollBackProviderKey => ['provider-keys/key-a:rollback'],
    disableProviderKey => ['provider-keys/key-a:disable'], enableProviderKey => ['provider-keys/key-a:enable'],
    testProviderKey => ['provider-keys/key-a:test'],
    rotateMasterKey => ['/api/v1/encryption:rotate-master'], rotateDataKey => ['encryption:rotate-data-key'],
    rotateRelayKey => ['relay-keys/app:rotate', {}], revokeRelayKey => ['relay-keys/app:revoke'],
    introspectRelayKey => ['relay-keys:introspect', {key => 'x'}],
    simulate => ['policies:simulate', {policy => 'team', model => 'own/model'}],
    exportConfiguration => ['configuration'], planConfiguration => ['configuration:plan', {}], applyConfiguration => ['configuration:apply', {}],
);
# What is in use, or done already, or not there.
my %status = (setUp => 401, rollBackProviderKey => 409, map { ("delete$_" => 409) } qw(Host ProviderKey Pool Policy));

# The operation's id => {method, scope, template, path, body, status of success, takes (parameters)}.
sub operations {
    my ($self) = @_;
    my %found;
    my $paths = $self->openapi->{paths};
    for my $template (sort keys %$paths) {
        for my $method (keys %{$paths->{$template}}) {
            my $operation = $paths->{$template}{$method};
            my $id = $operation->{operationId};
            my ($rest, $body) = @{$requests{$id} || []};
            my ($success) = grep { /^2/ } sort keys %{$operation->{responses}};
            $found{$id} = {id => $id, method => uc $method, template => $template, scope => $operation->{'x-scope'},
                path => !defined $rest ? undef : $rest =~ m{^/} ? $rest : $self->path($rest), body => $body,
                document => $operation, status => $status{$id} || ($method eq 'put' ? 200 : $success),
                takes => {map { ($_->{name} => 1) } @{$operation->{parameters}}}};
        }
    }
    return \%found;
}

# Sends the good request of an operation; o: token, workspace, path, real (no dry run).
sub try {
    my ($self, $operation, %o) = @_;
    my $path = $o{path} // $operation->{path};
    $path =~ s{/workspaces/default}{/workspaces/$o{workspace}} if defined $o{workspace};
    $path .= '?dry_run=true' if $operation->{takes}{dry_run} && $operation->{scope} && !$o{real};
    return $self->quick($operation->{method}, $path, $operation->{body} && $json->encode($operation->{body}),
        $operation->{takes}{'If-Match'} ? ('If-Match' => '*') : (),
        exists $o{token} ? (Authorization => defined $o{token} ? "Bearer $o{token}" : undef) : ());
}

# ---- what is stored ---------------------------------------------------------

# Counts of the rows of every table but those that reading fills.
sub rows {
    my ($self) = @_;
    return $self->sql($self->{count_sql} ||= $self->count_sql);
}

sub count_sql {
    my ($self) = @_;
    return join ' UNION ALL ', map { "SELECT '$_ ' || count(*) FROM $_" }
        sort grep { !/^(?:outbox|schema_migration|catalog_.*)$/ } split /\n/,
        $self->sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'");
}

sub configuration {
    my ($self, $workspace) = @_;
    return $self->get($self->path('configuration', $workspace))->json;
}

# All of it as one text, to compare: rows, configuration, revision, tokens, settings.
sub stored {
    my ($self) = @_;
    $self->{count_sql} ||= $self->count_sql;
    return join "\n", $json->encode($self->configuration), $self->sql("$self->{count_sql} UNION ALL"
        . " SELECT md5(string_agg(concat_ws(' ', id, name, spec, version, revoked_at, expires_at), '|' ORDER BY id)) FROM api_token"
        . " UNION ALL SELECT concat_ws(' ', settings, settings_version, revision) FROM installation");
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
