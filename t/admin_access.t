# Who may do what: every route of the table with every kind of token, expected
# from the route's scope; and two workspaces, of which neither sees the other.

use lib 't/lib';
use JSON::PP ();
use POSIX ();
use Relay::Admin;

my $admin = Relay::Admin->begin;
$admin->scene;
$admin->make('api-tokens' => {name => 'robot', role => 'viewer', scopes => ['api-tokens:admin']});
my $other = $admin->second_workspace('other');
my %operations = %{$admin->operations};
my @guarded = map { $operations{$_} } grep { $operations{$_}{scope} } sort keys %operations;

my $count = 0;
sub token {
    my %o = @_;
    return $admin->make('api-tokens' => {name => 'token-' . ++$count, role => 'admin', %o})->{token};
}

subtest 'every guarded route says its scope' => sub {
    for my $id (sort keys %operations) {
        my $operation = $operations{$id};
        ok defined $operation->{path}, "$id is tried here";
        like $operation->{scope} // 'open', $operation->{document}{security} && @{$operation->{document}{security}}
            ? qr/^[a-z-]+:(?:read|write|admin)$/ : qr/^open$/, '... and has the scope it shows';
    }
};

# ---- each route, each token ---------------------------------------------------

my %rank = (read => 1, write => 2, admin => 3, viewer => 1, editor => 2);
my $expired = token(expires_at => '2020-01-01T00:00:00Z');
my $revoked = token(name => 'revoked');
is $admin->post('/api/v1/api-tokens/revoked:revoke', undef, 'If-Match' => '*')->json->{revoked_at} =~ /^20/, 1, 'revoked';
my $deleted = token(name => 'deleted');
is $admin->delete('/api/v1/api-tokens/deleted', 'If-Match' => '*')->status, 204, 'deleted';
my %bad = (none => undef, garbage => 'x', 'well-formed' => 'rlt_' . 'a' x 43, expired => $expired, revoked => $revoked, deleted => $deleted,
    'a relay key' => 'rly_' . 'a' x 46, 'the set-up token' => $admin->setup_token);
my %role = map { ($_ => token(role => $_)) } qw(viewer editor admin);
my %bound = map { ($_ => token(workspace => $_)) } qw(default other);
my %scoped;

sub tried {
    my ($operation, $token, $want, %o) = @_;
    my $res = $admin->try($operation, token => $token, %o);
    return if ref $want ? $res->status =~ $want : $res->status == $want;
    return "$operation->{method} $operation->{path}: " . $res->status . ', expected ' . $want . ': ' . substr $res->body, 0, 200;
}

for my $who (sort keys %bad) {
    subtest "$who: 401 everywhere" => sub {
        my @failed = map { tried($_, $bad{$who}, 401) } @guarded;
        is scalar @failed, 0, scalar(@guarded) . ' routes' or diag map { "$_\n" } @failed;
    };
}

for my $who (sort keys %role) {
    subtest "$who: what the role may" => sub {
        my @failed = map {
            my ($action) = $_->{scope} =~ /:(.*)/;
            tried($_, $role{$who}, ($rank{$who} // 3) >= $rank{$action} ? $_->{status} : 403);
        } @guarded;
        is scalar @failed, 0, scalar(@guarded) . ' routes' or diag map { "$_\n" } @failed;
    };
}

subtest 'scopes: those that are held, and no others' => sub {
    my @failed;
    for my $scope (sort { $a cmp $b } keys %{{map { ($_->{scope} => 1) } @guarded}}) {
        my ($noun, $action) = split /:/, $scope;
        my @routes = grep { $_->{scope} eq $scope } @guarded;
        my $with = token(scopes => [$scope]);
        my $without = token(scopes => [map { "$_:write" } grep { $_ ne $noun } qw(pools policies hosts)]);
        my $less = $action eq 'read' ? undef : token(scopes => ["$noun:read"]);
        my $weak = $action eq 'read' ? undef : token(role => 'viewer', scopes => [$scope]);
        for my $route (@routes) {
            push @failed, tried($route, $with, $route->{status}), tried($route, $without, 403);
            push @failed, tried($route, $less, 403), tried($route, $weak, 403) if $less;
        }
        my $all = token(scopes => ["$noun:*"]);
        push @failed, tried($_, $all, $_->{status}) for @routes;
    }
    is scalar @failed, 0, 'each scope' or diag map { "$_\n" } @failed;
    is tried($operations{listPools}, token(scopes => ['*']), 200), undef, '*';
    is tried($operations{listPools}, token(scopes => ['pools:write']), 200), undef, 'write contains read';
    is tried($operations{createPool}, token(scopes => ['pool:write']), 403), undef, 'a noun is whole';
};

subtest 'a token of one workspace' => sub {
    my @failed;
    for my $operation (@guarded) {
        my $inside = $operation->{template} =~ m{/workspaces/\{workspace\}};
        push @failed, tried($operation, $bound{default}, $inside ? $operation->{status} : 403);
        push @failed, tried($operation, $bound{other}, $inside ? 404 : 403);
        push @failed, tried($operation, $bound{default}, 404, workspace => 'other') if $inside;
        push @failed, tried($operation, $bound{other}, 404, workspace => 'nowhere') if $inside;
        push @failed, tried($operation, $role{admin}, 404, workspace => 'nowhere') if $inside;
    }
    is scalar @failed, 0, 'there, and only there' or diag map { "$_\n" } @failed;
    my ($hidden, $missing) = map { $admin->quick(GET => "/api/v1/workspaces/$_/pools", undef, Authorization => "Bearer $bound{other}")->body } 'default', 'nowhere';
    is $hidden, $missing =~ s/nowhere/default/r, 'one that is not for it looks like one that is not there';
    my $id = $admin->get('/api/v1/workspaces/default')->json->{id};
    problem $admin->get("/api/v1/workspaces/$id/pools", token => $bound{other}), 404, 'not_found', 'by its id, too';
};

subtest 'nobody makes a token that may do more' => sub {
    my $tokens = '/api/v1/api-tokens';
    my $maker = token(name => 'maker', scopes => ['api-tokens:admin', 'pools:write']);
    my @o = (token => $maker);
    is $admin->post($tokens, {name => 'small', role => 'editor', scopes => ['pools:read']}, @o)->status, 201, 'less is fine';
    problem $admin->post($tokens, {name => 'big', role => 'admin'}, @o), 403, 'forbidden', 'without scopes';
    problem $admin->post($tokens, {name => 'big', role => 'admin', scopes => [$_]}, @o), 403, 'forbidden', $_
        for '*', 'pools:*', 'pools:admin', 'hosts:read', 'relay-keys:write';
    problem $admin->patch("$tokens/maker", {scopes => []}, 'If-Match' => '*', @o), 403, 'forbidden', 'nor widens itself';
    problem $admin->patch("$tokens/admin", {description => 1}, 'If-Match' => '*', @o), 422, 'invalid_document', 'no such member';
    problem $admin->patch("$tokens/admin", {role => 'viewer'}, 'If-Match' => '*', @o), 403, 'forbidden', 'nor weakens one that may more';
    problem $admin->post("$tokens/admin:revoke", undef, 'If-Match' => '*', @o), 403, 'forbidden', 'nor revokes it';
    problem $admin->delete("$tokens/admin", 'If-Match' => '*', @o), 403, 'forbidden', 'nor deletes it';
    is $admin->delete("$tokens/small", 'If-Match' => '*', @o)->status, 204, 'its own it may';
};

subtest 'a change of a token counts at once' => sub {
    my $token = token(name => 'changing', role => 'editor');
    my $post = sub { $admin->post($admin->path('pools') . '?dry_run=true', {name => 'x'}, token => $token)->status };
    is $post->(), 201, 'an editor writes';
    $admin->patch('/api/v1/api-tokens/changing', {role => 'viewer'}, 'If-Match' => '*');
    is $post->(), 403, 'a viewer does not';
    $admin->patch('/api/v1/api-tokens/changing', {role => 'editor', expires_at => '2020-01-01T00:00:00Z'}, 'If-Match' => '*');
    is $post->(), 401, 'an expired one is none';
    $admin->patch('/api/v1/api-tokens/changing', {expires_at => undef}, 'If-Match' => '*');
    is $post->(), 201, 'and is one again';
    like $admin->get('/api/v1/api-tokens/changing')->json->{last_used_at}, qr/^20/, 'its use is seen';
};

# ---- two workspaces -----------------------------------------------------------

my %theirs = (
    hosts => $admin->make(hosts => {name => 'zebra-host', base_url => 'http://127.0.0.1:9', formats => ['openai-chat'], local => JSON::PP::true}, workspace => 'other'),
    models => $admin->make(models => {name => 'zebra-model', offers => [{host => 'zebra-host'}]}, workspace => 'other'),
    'provider-keys' => $admin->make('provider-keys' => {name => 'zebra-key', host => 'zebra-host', value => $admin->secret('sk-zebra-secret')}, workspace => 'other'),
    pools => $admin->make(pools => {name => 'zebra-pool', members => [{key => 'zebra-key'}]}, workspace => 'other'),
    policies => $admin->make(policies => {name => 'zebra-policy', pools => ['zebra-pool']}, workspace => 'other'),
    'relay-keys' => $admin->make('relay-keys' => {name => 'zebra-app', policy => 'zebra-policy'}, workspace => 'other'));
my $key = $theirs{'relay-keys'}{key};
is $admin->patch($admin->path('hosts/openai', 'other'), {timeouts => {connect_ms => 77}}, 'If-Match' => '*')->status, 200, 'their patch of the catalog';
is $admin->patch($admin->path('models/gpt-4o', 'other'), {display_name => 'zebra'}, 'If-Match' => '*')->status, 200, '... and of a model';

subtest 'what is theirs cannot be named here' => sub {
    my $before = $admin->rows;
    my @failed;
    for my $operation (@guarded) {
        my ($plural) = $operation->{template} =~ m{/workspaces/\{workspace\}/([a-z-]+)/\{id\}} or next;
        for my $target ($theirs{$plural}{id}, $theirs{$plural}{name}) {
            my $path = $operation->{path} =~ s{/$plural/[^:]*}{/$plural/$target}r;
            my $want = $operation->{method} eq 'PUT' ? qr/^(?:404|412|422)$/ : 404;
            push @failed, tried($operation, $admin->token, $want, path => $path, real => 1);
        }
    }
    is scalar @failed, 0, '404, by id and by name' or diag map { "$_\n" } @failed;
    is $admin->rows, $before, 'nothing was written';
};

subtest 'what is theirs cannot be referred to' => sub {
    my %refers = ('provider-keys' => [{host => $theirs{hosts}{id}, value => 'x'}, '/host'], models => [{offers => [{host => 'zebra-host'}]}, '/offers/0/host'],
        pools => [{members => [{key => $theirs{'provider-keys'}{id}}]}, '/members/0/key'], policies => [{pools => [$theirs{pools}{id}]}, '/pools/0'],
        'relay-keys' => [{policy => $theirs{policies}{id}}, '/policy']);
    for my $plural (sort keys %refers) {
        my ($document, $pointer) = @{$refers{$plural}};
        problem $admin->post($admin->path($plural), {name => 'thief', %$document}), 422, 'invalid_document', $plural, $pointer;
    }
    problem $admin->post($admin->path('policies:simulate'), {relay_key => $_, model => 'x'}), 422, 'invalid_document', "simulate: $_", '/relay_key'
        for 'zebra-app', $theirs{'relay-keys'}{id};
    problem $admin->post($admin->path('policies:simulate'), {policy => 'zebra-policy', model => 'x'}), 422, 'invalid_document', 'simulate: a policy', '/policy';
    is_deeply $admin->post($admin->path('relay-keys:introspect'), {key => $key})->json,
        {known => JSON::PP::false, active => JSON::PP::false, previous => JSON::PP::false}, 'introspect: not known here';
    is $admin->post($admin->path('relay-keys:introspect', 'other'), {key => $key})->json->{relay_key}{name}, 'zebra-app', '... but there';
};

subtest 'what is theirs is in no answer here' => sub {
    my @failed;
    for my $operation (grep { $_->{template} =~ m{/\{workspace\}} && $_->{method} eq 'GET' || $_->{id} eq 'simulate' } @guarded) {
        my $path = $operation->{path} . ($operation->{takes}{limit} ? '?limit=500' : '');
        my $res = $admin->try($operation, path => $path);
        push @failed, "$operation->{id}: " . $1 if $res->body =~ /(.{0,40}zebra.{0,40})/ || $res->body =~ /(.{0,40}"connect_ms":77.{0,40})/;
    }
    is scalar @failed, 0, 'lists, things, events, the export, the simulation' or diag map { "$_\n" } @failed;
    is scalar @{$admin->get($admin->path('events') . "?object=$theirs{pools}{id}")->json->{items}}, 0, 'events of it';
    is $admin->get($admin->path('hosts/openai'))->json->{source}, 'catalog', 'their patch is none here';
    is $admin->get($admin->path('hosts/openai', 'other'))->json->{source}, 'patched', '... but there';
    my $page = $admin->quick(GET => $admin->path('models') . '?limit=500&cursor=7a')->body;
    unlike $page, qr/zebra/, 'the end of the models';
};

subtest 'the same from the other side' => sub {
    my @o = (token => $bound{other});
    unlike $admin->get($admin->path('events', 'other') . '?limit=500', @o)->body, qr/own-host|key-a/, 'events';
    unlike $admin->encode($admin->get($admin->path('configuration', 'other'), @o)->json), qr/own-host|key-a|"main"|"app"/, 'the export';
    problem $admin->get($admin->path("pools/main", 'other'), @o), 404, 'not_found', 'ours by name';
    is $admin->post($admin->path('pools', 'other') . '?dry_run=true', {name => 'main'}, @o)->status, 201, 'names are free in each';
    my $prune = $admin->post($admin->path('configuration:plan', 'other') . '?prune=true', {}, @o)->json;
    is scalar(grep { $_->{name} !~ /zebra|openai|gpt-4o/ } @{$prune->{steps}}), 0, 'prune stays inside';
    cmp_ok scalar @{$prune->{steps}}, '>=', 8, '... and finds all there is';
};

subtest 'events of the installation' => sub {
    my $all = '/api/v1/events?limit=500';
    like $admin->get("$all&kind=api_token")->body, qr/"name":"maker"/, 'tokens';
    my %seen = map { ($_->{workspace} // '' => 1) } @{$admin->get($all)->json->{items}};
    is_deeply [sort keys %seen], ['', 'default', 'other'], 'of all workspaces and of none';
    problem $admin->get($all, token => $bound{default}), 403, 'forbidden', 'not for a token of one workspace';
};

# ---- the last one ---------------------------------------------------------------

subtest 'the last token that may do everything stays' => sub {
    my $tokens = '/api/v1/api-tokens';
    my @match = ('If-Match' => '*');
    my $names = sub { map { $_->{name} } @{$admin->get("$tokens?limit=500")->json->{items}} };
    $admin->delete("$tokens/$_", @match) for grep { $_ ne 'admin' } $names->();
    is join(' ', $names->()), 'admin', 'one is left';
    # None of these may do all there is, or may it now.
    token(name => 'viewer', role => 'viewer');
    token(name => 'bound', workspace => 'default');
    token(name => 'narrow', scopes => ['api-tokens:admin', 'pools:*']);
    token(name => 'past', expires_at => '2020-01-01T00:00:00Z');
    token(name => 'gone');
    is $admin->post("$tokens/gone:revoke", undef, @match)->status, 200, 'others cannot take its place';

    my $before = $admin->rows;
    my $refused = sub {
        my ($what, $res) = @_;
        problem $res, 409, 'conflict', $what;
        like $res->json->{detail}, qr/"admin" is the last token that may do everything.*another/, '... in plain words';
    };
    $refused->('deleted', $admin->delete("$tokens/admin", @match));
    $refused->('revoked', $admin->post("$tokens/admin:revoke", undef, @match));
    $refused->('without its role', $admin->patch("$tokens/admin", {role => 'editor'}, @match));
    $refused->('narrowed', $admin->patch("$tokens/admin", {scopes => ['api-tokens:admin']}, @match));
    $refused->('ended', $admin->patch("$tokens/admin", {expires_at => '2020-01-01T00:00:00Z'}, @match));
    is $admin->rows, $before, 'nothing was written';
    is $admin->patch("$tokens/admin", {expires_at => '2099-01-01T00:00:00Z'}, @match)->status, 200, 'an end that is to come is no such loss';
    is $admin->delete("$tokens/past", @match)->status, 204, 'others may go';
    is $admin->patch("$tokens/admin", {scopes => ['*']}, @match)->status, 200, 'all scopes are no such loss, either';

    my $next = token(name => 'next', scopes => ['*']);
    is $admin->delete("$tokens/admin", @match)->status, 204, 'with another one, it may go';
    $admin->token($next);
    problem $admin->delete("$tokens/next", @match), 409, 'conflict', 'but not that one, then';
};

# Without taking turns, both would be past all checks when the first of them commits.
subtest 'of the last two, one stays' => sub {
    my ($one, $two) = ($admin->token, token(name => 'second', scopes => ['*']));
    my $hold = fork // die "fork: $!";
    if (!$hold) {
        $admin->sql('BEGIN; LOCK TABLE event IN EXCLUSIVE MODE; SELECT pg_sleep(2); COMMIT');
        POSIX::_exit(0);
    }
    Relay::ControlPlane::wait_until('events are held up', 10,
        sub { $admin->sql("SELECT count(*) FROM pg_locks WHERE relation = 'event'::regclass AND mode = 'ExclusiveLock' AND granted") });
    my @status;
    for (['next', $two], ['second', $one]) {
        my ($name, $token) = @$_;
        open my $from, '-|' or do {
            print $admin->delete("/api/v1/api-tokens/$name", token => $token, 'If-Match' => '*')->status;
            close STDOUT;
            POSIX::_exit(0);
        };
        push @status, $from;
    }
    is join(' ', sort map { scalar readline $_ } @status), '204 409', 'two delete each other';
    close $_ for @status;
    waitpid $hold, 0;
    is $admin->sql("SELECT count(*) FROM api_token WHERE spec -> 'scopes' ? '*' AND revoked_at IS NULL"), 1, 'one is there';
    $admin->token($admin->get('/api/v1/api-tokens', token => $one)->status == 200 ? $one : $two);
};

$admin->done;
