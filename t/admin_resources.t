# Every noun of the admin API: made, read by id and by name, listed page by
# page, patched, replaced, deleted; conditions, names, references, events.

use lib 't/lib';
use Relay::Admin;
use JSON::PP ();

my $admin = Relay::Admin->begin(settings => {public_url => 'https://relay.example'});
my $scene = $admin->scene;
my $secret = $admin->secret('sk-resources-0123456789');

# What is made, what is changed of it, and what the change shows.
my @nouns = (
    {plural => 'hosts', prefix => 'host', kind => 'host', fixed => 1,
        document => {base_url => 'http://127.0.0.1:9', formats => ['openai-chat'], local => JSON::PP::true},
        patch => {timeouts => {connect_ms => 5}, headers => {'x-a' => '1'}}},
    {plural => 'models', prefix => 'model', kind => 'model', fixed => 1,
        document => {offers => [{host => 'own-host'}], display_name => 'One'},
        patch => {display_name => 'Two', context_tokens => 4096}},
    {plural => 'provider-keys', prefix => 'pk', kind => 'provider_key', put => 1,
        document => {host => 'own-host', value => $secret}, patch => {description => 'of the team', disabled => JSON::PP::true},
        hidden => ['value']},
    {plural => 'pools', prefix => 'pool', kind => 'pool', put => 1,
        document => {members => [{key => 'key-a', weight => 3}]}, patch => {strategy => 'priority', description => 'x'}},
    {plural => 'policies', prefix => 'pol', kind => 'policy', put => 1, fixed => 1,
        document => {pools => ['main'], timeouts => {total_ms => 9}}, patch => {deny => ['gpt-*'], timeouts => {idle_ms => 8}},
        shows => {timeouts => {total_ms => 9, idle_ms => 8}}},
    {plural => 'relay-keys', prefix => 'rk', kind => 'relay_key', put => 1,
        document => {policy => 'team', tags => {a => '1', b => '2'}}, patch => {tags => {a => undef, c => '3'}, disabled => JSON::PP::true},
        shows => {tags => {b => '2', c => '3'}}, once => ['key']},
    {plural => 'api-tokens', prefix => 'tok', kind => 'api_token', global => 1,
        document => {role => 'viewer'}, patch => {scopes => ['pools:read'], expires_at => '2040-01-31T00:00:00Z'}, once => ['token']},
);

sub members { my ($shown, @names) = @_; return {map { $_ => $shown->{$_} } @names} }

for my $noun (@nouns) {
    my ($plural, $base) = ($noun->{plural}, $admin->path($noun->{plural}));
    subtest $plural => sub {
        my %document = (name => 'first', %{$noun->{document}});
        my $made = $admin->post($base, \%document);
        is $made->status, 201, 'made' or diag $made->body;
        my ($shown, $etag) = ($made->json, $made->header('etag'));
        $admin->secret(grep { defined } @{$shown}{@{$noun->{once} || []}});
        like $shown->{id}, qr/^\Q$noun->{prefix}\E_[0-9a-f]{32}$/, 'an id';
        is $etag, '"1"', 'ETag';
        is $shown->{version}, 1, 'version';
        is $made->header('location'), "$base/$shown->{id}", 'Location';
        is_deeply members($shown, grep { $_ ne 'value' } keys %document),
            members(\%document, grep { $_ ne 'value' } keys %document), 'what was given';
        ok !exists $shown->{$_}, "$_ is not shown" for @{$noun->{hidden} || []};
        like $shown->{$_}, qr/^r[lt]/, "$_ is shown once" for @{$noun->{once} || []};

        delete @{$shown}{@{$noun->{once} || []}};
        for my $name ($shown->{id}, 'first') {
            my $res = $admin->get("$base/$name");
            is_deeply $res->json, $shown, "read as $name";
            is $res->header('etag'), $etag, '... its ETag';
        }
        is $admin->get($made->header('location'))->status, 200, 'Location leads there';
        problem $admin->get("$base/$_"), 404, 'not_found', "no $_" for 'none', "$noun->{prefix}_" . '0' x 32, 'a%2Fb';

        problem $admin->post($base, \%document), 409, 'conflict', 'the name is taken';

        problem $admin->patch("$base/first", $noun->{patch}), 428, 'precondition_required', 'If-Match is needed';
        problem $admin->patch("$base/first", $noun->{patch}, 'If-Match' => $_), 412, 'stale', "If-Match: $_"
            for '"7"', '1', 'W/"1"', '"11"', '';
        my $patched = $admin->patch("$base/first", $noun->{patch}, 'If-Match' => '"9", "1"');
        is $patched->status, 200, 'patched' or diag $patched->body;
        is $patched->header('etag'), '"2"', '... a new ETag';
        my %want = (%{$noun->{patch}}, %{$noun->{shows} || {}});
        is_deeply members($patched->json, keys %want), \%want, '... merged';
        is $patched->json->{$_}, $shown->{$_}, "... $_ stays" for qw(id name created_at);
        cmp_ok $patched->json->{updated_at}, 'gt', $shown->{updated_at}, '... updated_at';
        problem $admin->patch("$base/first", {}, 'If-Match' => $etag), 412, 'stale', 'the old ETag';
        is $admin->get("$base/first")->json->{version}, 2, 'a refusal changes nothing';

        if ($noun->{fixed}) {
            problem $admin->patch("$base/first", {name => 'other'}, 'If-Match' => '*'), 422, 'invalid_document', 'its name stays', '/name';
        } else {
            my $renamed = $admin->patch("$base/$shown->{id}", {name => 'second'}, 'If-Match' => '"2"');
            is $renamed->json->{name}, 'second', 'renamed';
            problem $admin->get("$base/first"), 404, 'not_found', 'the old name is free';
            is $admin->patch("$base/second", {name => 'first'}, 'If-Match' => '*')->status, 200, 'and back';
            problem $admin->patch("$base/first", {name => "$noun->{prefix}_" . 'a' x 32}, 'If-Match' => '*'), 422, 'invalid_document',
                'a name like an id', '/name';
        }

        if ($noun->{put}) {
            my $version = $admin->get("$base/first")->json->{version};
            problem $admin->put("$base/first", \%document), 428, 'precondition_required', 'PUT needs If-Match, too';
            problem $admin->put("$base/first", \%document, 'If-Match' => '"1"'), 412, 'stale', 'PUT: stale';
            my $put = $admin->put("$base/first", \%document, 'If-Match' => "\"$version\"");
            is $put->status, 200, 'replaced' or diag $put->body;
            is_deeply members($put->json, grep { $_ ne 'value' } keys %document),
                members(\%document, grep { $_ ne 'value' } keys %document), '... is what PUT says';
            my ($only) = grep { !exists $document{$_} } keys %{$noun->{patch}};
            isnt $admin->encode($put->json->{$only}), $admin->encode($patched->json->{$only}), "... $only is not kept";

            my $new = $admin->put("$base/third", {%document, name => 'third'});
            is $new->status, 201, 'PUT of a new one';
            is $new->header('location'), "$base/" . $new->json->{id}, '... Location';
            $admin->secret(grep { defined } @{$new->json}{@{$noun->{once} || []}});
            problem $admin->put("$base/fourth", {%document, name => 'other'}), 422, 'invalid_document', 'another name than the path', '/name';
            problem $admin->put("$base/fourth", {%document, name => 'fourth'}, 'If-Match' => '*'), 412, 'stale', 'If-Match of nothing';
            is $admin->delete("$base/third", 'If-Match' => $new->header('etag'))->status, 204, '... and gone';
        }

        my $before = $admin->stored;
        is $admin->post("$base?dry_run=true", {%document, name => 'dry'})->status, 201, 'dry run: made';
        is $admin->patch("$base/first?dry_run=true", $noun->{patch}, 'If-Match' => '*')->status, 200, 'dry run: patched';
        is $admin->delete("$base/first?dry_run=true", 'If-Match' => '*')->status, 204, 'dry run: deleted';
        is $admin->stored, $before, 'a dry run leaves nothing';

        my @rest = map { $admin->post($base, {%document, name => "page-$_"}) } 1 .. 4;
        $admin->secret(map { my $r = $_->json; grep { defined } @{$r}{@{$noun->{once} || []}} } @rest);
        my ($cursor, @names);
        my $limit = $plural eq 'hosts' ? 20 : $plural eq 'models' ? 60 : 3; # the catalog's are among them
        for (1 .. 20) {
            my $page = $admin->get("$base?limit=$limit" . ($cursor ? "&cursor=$cursor" : ''))->json;
            cmp_ok scalar @{$page->{items}}, '<=', $limit, 'a page';
            push @names, map { $_->{name} } @{$page->{items}};
            $cursor = $page->{next_cursor} or last;
            last if $names[-1] gt 'page-4';
        }
        is_deeply [grep { /^page-\d$/ } @names], [map { "page-$_" } 1 .. 4], 'all are listed, once' if $plural !~ /^(?:hosts|models)$/;
        is_deeply \@names, [sort @names], 'in order';
        problem $admin->get("$base?$_"), 400, 'invalid_request', $_
            for 'limit=0', 'limit=501', 'limit=a', 'limit=-1', 'limit=', 'cursor=zz', 'cursor=0', 'cursor=00', 'cursor=' . 'ab' x 2000;

        problem $admin->delete("$base/page-1"), 428, 'precondition_required', 'delete: If-Match is needed';
        problem $admin->delete("$base/page-1", 'If-Match' => '"9"'), 412, 'stale', 'delete: stale';
        is $admin->delete("$base/page-$_", 'If-Match' => '*')->status, 204, 'deleted' for 1 .. 4;
        problem $admin->delete("$base/page-1", 'If-Match' => '*'), 404, 'not_found', 'delete: gone';

        my $gone = $admin->delete("$base/first", 'If-Match' => '*', 'X-Request-Id' => "gone-$plural");
        is $gone->status, 204, 'deleted';
        is $gone->body, '', '... nothing to say';

        my @events = $noun->{global}
            ? reverse @{$admin->get("/api/v1/events?limit=500&object=$shown->{id}")->json->{items}} : $admin->events($shown->{id});
        is_deeply [map { $_->{verb} } @events], ['created', ('updated') x ($events[-1]{before}{version} - 1), 'deleted'], 'an event for each change';
        is $events[0]{before}, undef, 'created: nothing before';
        is_deeply $events[0]{after}, $shown, '... and what was made, without what is shown once';
        is_deeply $events[1]{before}, $shown, 'updated: before';
        is_deeply $events[1]{after}, $patched->json, '... and after';
        is $events[-1]{after}, undef, 'deleted: nothing after';
        is $events[-1]{request_id}, "gone-$plural", 'with the request\'s id';
        is $events[-1]{kind}, $noun->{kind}, 'kind';
        is $events[-1]{workspace}, $noun->{global} ? undef : 'default', 'workspace';
        like $events[-1]{actor}, qr/^tok_/, 'and who did it';
    };
}

subtest 'members stand in the order of the schema' => sub {
    my @order = $admin->get($admin->path('relay-keys/app'))->body =~ /"(\w+)":/g;
    is "@order", 'id name version created_at updated_at policy models disabled tags stage public_id state revoked_at previous_until',
        'of an answer';
    @order = $admin->get($admin->path('configuration'))->body =~ /"(allow|pools|deny|hosts|max_attempts)":\[?["\]\d]/g;
    is "@order", 'pools allow deny hosts max_attempts', 'of the export';
    like $admin->get($admin->path('models/own%2Fmodel'))->body, qr/"offers":\[\{"host":"own-host","id":"upstream"\}\]/, 'of what is nested';
    like $admin->get($admin->path('events') . '?object=team')->body, qr/"after":\{"id":"[^"]*","name":"team","version":1,/, 'of events';
};

subtest 'more than 500 rows' => sub {
    my %pools = map { (sprintf('many-%04d', $_) => {members => []}) } 1 .. 520;
    is $admin->post($admin->path('configuration:apply'), {pools => \%pools})->status, 200, 'made';
    my $page = $admin->get($admin->path('pools') . '?limit=500')->json;
    is scalar @{$page->{items}}, 500, 'a full page';
    my $next = $admin->get($admin->path('pools') . "?limit=500&cursor=$page->{next_cursor}")->json;
    is_deeply [map { $_->{name} } @{$page->{items}}, @{$next->{items}}], ['main', sort keys %pools], 'two pages have them all';
    is $next->{next_cursor}, undef, 'and that is the end';
    is scalar @{$admin->get($admin->path('pools'))->json->{items}}, 50, '50 if nothing is said';
    $page = $admin->get($admin->path('events') . '?limit=500&kind=pool')->json;
    is scalar @{$page->{items}}, 500, 'events, too';
    my $older = $admin->get($admin->path('events') . "?limit=500&kind=pool&cursor=$page->{next_cursor}")->json;
    cmp_ok $older->{items}[0]{id}, 'lt', $page->{items}[-1]{id}, 'the newest first';
    my %seen;
    is scalar(grep { $seen{$_->{id}}++ } @{$page->{items}}, @{$older->{items}}), 0, 'none twice';
    is scalar(grep { $_->{object} =~ /^pool_/ } @{$older->{items}}), scalar @{$older->{items}}, 'of the kind asked for';
    is $admin->post($admin->path('configuration:apply') . '?prune=true',
        {%{$admin->configuration}, pools => {main => $admin->configuration->{pools}{main}}})->status, 200, 'pruned';
};

subtest 'what is in use' => sub {
    my %users = ('hosts/own-host' => ['model "own/model"', 'provider_key "key-a"'], 'provider-keys/key-a' => ['pool "main"'],
        'pools/main' => ['policy "team"'], 'policies/team' => ['relay_key "app"']);
    for my $thing (sort keys %users) {
        my $res = $admin->delete($admin->path($thing), 'If-Match' => '*');
        problem $res, 409, 'in_use', "$thing stays";
        like $res->json->{detail}, qr/\Q$_\E/, "... because of $_" for @{$users{$thing}};
    }
    $admin->make('relay-keys' => {name => "user-$_", policy => 'team'}) for 1 .. 7;
    like $admin->delete($admin->path('policies/team'), 'If-Match' => '*')->json->{detail}, qr/"user-\d".* and others\.$/, 'many users';
    $admin->delete($admin->path("relay-keys/user-$_"), 'If-Match' => '*') for 1 .. 7;
};

subtest 'a new name keeps references' => sub {
    my %rename = ('provider-keys' => ['key-a', 'key-z'], pools => ['main', 'main/z']);
    $admin->patch($admin->path("$_/$rename{$_}[0]"), {name => $rename{$_}[1]}, 'If-Match' => '*') for sort keys %rename;
    is $admin->get($admin->path('pools/main%2Fz'))->json->{members}[0]{key}, 'key-z', 'a key in a pool';
    is_deeply $admin->get($admin->path('policies/team'))->json->{pools}, ['main/z'], 'a pool in a policy';
    problem $admin->delete($admin->path('pools/main%2Fz'), 'If-Match' => '*'), 409, 'in_use', 'they still count';
    my $pool = $admin->get($admin->path('pools/main%2Fz'))->json;
    is $admin->patch($admin->path('policies/team'), {pools => [$pool->{id}]}, 'If-Match' => '*')->json->{pools}[0], 'main/z', 'an id in a reference';
    is $admin->get($admin->path("pools/$pool->{id}"))->header('location'), undef, 'reading says no Location';
    $admin->patch($admin->path("$_/" . $rename{$_}[1] =~ s{/}{%2F}r), {name => $rename{$_}[0]}, 'If-Match' => '*') for sort keys %rename;
};

subtest 'workspaces' => sub {
    my $list = $admin->get('/api/v1/workspaces')->json;
    is_deeply [map { $_->{name} } @{$list->{items}}], ['default'], 'one from the start';
    my $id = $list->{items}[0]{id};
    like $id, qr/^ws_/, 'its id';
    is $admin->get("/api/v1/workspaces/$id/pools")->status, 200, 'the id in paths';
    problem $admin->patch('/api/v1/workspaces/default', {description => 'x'}), 428, 'precondition_required', 'If-Match';
    is $admin->patch('/api/v1/workspaces/default', {description => 'Ours'}, 'If-Match' => '"1"')->json->{description}, 'Ours', 'patched';
    problem $admin->patch('/api/v1/workspaces/default', {name => 'x'}, 'If-Match' => '*'), 422, 'invalid_document', 'keeps its name', '/name';
    is $admin->get('/api/v1/events?object=default&limit=1')->json->{items}[0]{after}{description}, 'Ours', 'an event';
};

subtest 'settings, and what anybody may know' => sub {
    my $path = '/api/v1/settings';
    my $version = sub { $admin->get('/api/v1/version', token => undef)->json };
    is $version->()->{public_url}, 'https://relay.example', 'the public URL of the configuration';
    is $version->()->{setup}, 'done', 'set-up is done';
    my $res = $admin->get($path);
    is_deeply $res->json, {}, 'none at first';
    is $res->header('etag'), '"1"', 'ETag';
    problem $admin->patch($path, {keep_events_days => 1}), 428, 'precondition_required', 'If-Match';
    problem $admin->patch($path, {keep_events_days => 1}, 'If-Match' => '"2"'), 412, 'stale', 'stale';
    problem $admin->patch($path, {public_url => $_}, 'If-Match' => '*'), 422, 'invalid_document', "public_url $_", '/public_url'
        for 'ftp://a', 'relay.example', 'https://a b', "https://a';reboot'", 'https://a"', 'https://$(id)', 'https://a`b`';
    $res = $admin->patch($path, {public_url => 'https://other.example/', keep_events_days => 30}, 'If-Match' => '"1"');
    is $res->status, 200, 'changed';
    is $res->header('etag'), '"2"', 'a new ETag';
    is $version->()->{public_url}, 'https://other.example/', 'the settings\' URL is before the configuration\'s';
    is_deeply $admin->patch($path, {public_url => undef}, 'If-Match' => '"2"')->json, {keep_events_days => 30}, 'null takes one away';
    is $version->()->{public_url}, 'https://relay.example', 'and what it was is back';
    is_deeply [map { $_->{after} } @{$admin->get('/api/v1/events?kind=settings')->json->{items}}],
        [{keep_events_days => 30}, {keep_events_days => 30, public_url => 'https://other.example/'}], 'events';
};

subtest 'workers' => sub {
    my $node = sub { $admin->encode({node => $_[0], worker => $_[1], pid => 1, revision => 5, state => 'applied', at => 1, version => '0.1.0', @_[2 .. $#_]}) };
    $admin->redis('HSET', 'relay:nodes', 'b/0', $node->('b', 0), 'a/1', $node->('a', 1), 'a/0', $node->('a', 0),
        'x', 'rubbish', 'y', $node->('y', 0, state => 'owned'), 'z', $node->('z', 0, admin => 'yes'), 'w', $node->("w\n", 0));
    my $nodes = '/api/v1/dataplane/nodes';
    my $names = sub { join ' ', map { "$_->{node}/$_->{worker}" } @{$_[0]{items}} };
    is $names->($admin->get($nodes)->json), 'a/0 a/1 b/0 z/0', 'in order; what is no node is none';
    my $page = $admin->get("$nodes?limit=3")->json;
    is $names->($page), 'a/0 a/1 b/0', 'a page';
    is $names->($admin->get("$nodes?limit=3&cursor=$page->{next_cursor}")->json), 'z/0', 'the next one';
    unlike $admin->get($nodes)->body, qr/admin|owned/, 'nothing that is not known';
    problem $admin->get("$nodes?limit=x"), 400, 'invalid_request', 'limit';
    $admin->redis('DEL', 'relay:nodes');
};

subtest 'wait=applied' => sub {
    $admin->redis('HSET', 'relay:nodes', 'a/0', $admin->encode({node => 'a', worker => 0, pid => 1, revision => 999999, state => 'applied', at => int time}));
    my $res = $admin->patch($admin->path('pools/main') . '?wait=applied', {description => 'waited for'}, 'If-Match' => '*');
    is $res->status, 200, 'answered when it is served';
    like $res->header('relay-revision'), qr/^\d+$/, 'with its revision';
    $admin->redis('DEL', 'relay:nodes');
};

subtest 'old events go' => sub {
    my $id = $admin->sql("UPDATE event SET at = now() - interval '31 days' WHERE id = (SELECT id FROM event ORDER BY id LIMIT 1) RETURNING id");
    $admin->stop_relayd;
    $admin->start_relayd;
    my $left = 1;
    for (1 .. 100) {
        $left = $admin->sql("SELECT count(*) FROM event WHERE at < now() - interval '30 days'") or last;
        sleep 0.05;
    }
    is $left, 0, 'after keep_events_days';
    cmp_ok $admin->sql('SELECT count(*) FROM event'), '>', 100, 'the others stay';
    Relay::ControlPlane::wait_until('relayd', 10, sub { my $r = $admin->request(GET => '/readyz', token => undef, quiet => 1); $r && $r->status == 200 });
};

$admin->done;
