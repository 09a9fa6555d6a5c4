# The admin API's framework: routes, parameters, documents, who may, conditions
# on changes, transactions. What single nouns do is in files of their own.

use lib 't/lib';
use Relay::ControlPlane;
use JSON::PP ();
use MIME::Base64 qw(encode_base64url);

my $cp = Relay::ControlPlane->new(settings => {pg_connections => 4},
    allow => [qr/internal fault/, qr/a statement failed.*P0001/]);
$cp->start;

my $pools = '/api/v1/workspaces/default/pools';
my $never = '/api/v1/workspaces/default/nothing';

sub problem {
    my ($res, $status, $code, $name) = @_;
    is $res->status, $status, "$name: status" or diag $res->body;
    is $res->code, $code, "$name: code";
}

subtest 'what needs no token' => sub {
    is $cp->get('/healthz', token => undef)->json->{status}, 'ok', 'alive';
    is $cp->get('/readyz', token => undef)->json->{status}, 'ok', 'ready';
    like $cp->get('/api/v1/version', token => undef)->json->{version}, qr/^\d+\.\d+\.\d+$/, 'version';
    my $metrics = $cp->get('/metrics', token => undef);
    like $metrics->header('content-type'), qr{^text/plain; version=0\.0\.4}, 'metrics: type';
    like $metrics->body, qr/^relayd_requests_total\{operation="getVersion",status="200"\} \d+$/m, 'requests';
    like $metrics->body, qr/^relayd_request_seconds_bucket\{operation="getHealth",le="\+Inf"\} \d+$/m, 'latency';
    like $metrics->body, qr/^relayd_database_up 1$/m, 'database';
    like $metrics->body, qr/^relayd_revision \d+$/m, 'revision';
};

subtest 'no door without the set-up token' => sub {
    problem $cp->post('/api/v1/setup', {setup_token => 'guess'}, token => undef), 401, 'unauthenticated', 'a guess';
    problem $cp->get($pools, token => undef), 401, 'unauthenticated', 'no token';
    is $cp->get($pools, token => undef)->header('www-authenticate'), 'Bearer', 'says how';
    for my $value ('Bearer', 'Bearer ', 'Bearer rlt_' . 'a' x 43, 'Basic YTpi', 'rlt_x', 'Bearer ' . 'x' x 5000) {
        problem $cp->get($pools, token => undef, Authorization => $value), 401, 'unauthenticated', substr $value, 0, 20;
    }
    ok $cp->setup, 'the set-up token opens it';
    problem $cp->post('/api/v1/setup', {setup_token => $cp->setup_token}, token => undef), 409, 'conflict', 'once';
};

subtest 'every operation of the document is live, and nothing else' => sub {
    my $paths = $cp->openapi->{paths};
    for my $template (sort keys %$paths) {
        my $path = $template =~ s/\{workspace\}/default/r =~ s/\{id\}/none/r;
        my %has = map { uc $_ => 1 } keys %{$paths->{$template}};
        $has{HEAD} = 1 if $has{GET};
        for my $method (qw(GET POST PUT PATCH DELETE)) {
            my $operation = $paths->{$template}{lc $method};
            my $res = $cp->request($method => $path, token => undef, unchecked => 1,
                headers => ['Content-Type' => 'application/json'], body => $method eq 'GET' ? undef : '');
            if (!$operation) {
                is $res->status, 405, "$method $template is not there";
                is join(',', sort split /, /, $res->header('allow')), join(',', sort keys %has), '... Allow has those that are';
            } elsif (@{$operation->{security}}) {
                is $res->status, 401, "$method $template asks for a token";
            } else {
                isnt $res->status, $_, "$method $template is open: not $_" for 401, 404, 405;
            }
        }
    }
    is $cp->openapi->{openapi}, '3.1.0', 'OpenAPI 3.1';
    my @ids = map { map { $_->{operationId} } values %$_ } values %$paths;
    my %count;
    $count{$_}++ for @ids;
    is_deeply [grep { $count{$_} > 1 } keys %count], [], 'operation ids are unique';
    my %refs;
    my $text = JSON::PP->new->canonical->encode($cp->openapi);
    $refs{$1}++ while $text =~ m{"#/components/schemas/([^"]+)"}g;
    is_deeply [grep { !$cp->openapi->{components}{schemas}{$_} } keys %refs], [], 'no reference leads nowhere';
};

subtest 'HEAD' => sub {
    my $get = $cp->get('/api/v1/version');
    my $res = $cp->request(HEAD => '/api/v1/version');
    is $res->status, 200;
    is $res->body, '', 'no body';
    is $res->header('content-length'), length $get->body, 'the length of GET';
};

subtest 'paths' => sub {
    problem $cp->get($_), 404, 'not_found', $_
        for '/', '/api', '/api/v1', "$pools/", "/$pools", "$never", '/api/v1/version/x', '/API/V1/version',
        '/' . 'x/' x 40 . 'x';
    problem $cp->get("$pools/$_"), 400, 'invalid_request', $_ for '%', '%4', '%zz', '%00', '%0a', '%ff', '%c0%80', 'a' x 300;
    problem $cp->get("$pools/a%2Fb"), 404, 'not_found', 'an encoded slash is part of the name';
    problem $cp->get("$pools/a:nothing"), 404, 'not_found', 'an unknown verb';
    problem $cp->get("$pools/a%3Anothing"), 404, 'not_found', 'an encoded colon is part of the name';
    problem $cp->get("$pools/" . ('%41' x 255)), 404, 'not_found', '255 bytes';
    problem $cp->get('/' . 'x' x 9000), 400, 'invalid_request', 'a long URL';
};

subtest 'query parameters' => sub {
    problem $cp->get("$pools?limt=1"), 400, 'invalid_request', 'unknown';
    like $cp->get("$pools?limt=1")->json->{detail}, qr/did you mean "limit"/, 'with the nearest name';
    problem $cp->get("$pools?limit=1&limit=2"), 400, 'invalid_request', 'twice';
    problem $cp->get("$pools?limit=%4"), 400, 'invalid_request', 'broken encoding';
    problem $cp->get("$pools?limit=$_"), 400, 'invalid_request', "limit $_" for 0, -1, 501, 'x', '';
    problem $cp->get("$pools?cursor=nonsense"), 400, 'invalid_request', 'a cursor of nobody';
    problem $cp->get("$pools?dry_run=true"), 400, 'invalid_request', 'dry_run is for changes';
    problem $cp->post("$pools?dry_run=yes", {}), 400, 'invalid_request', 'dry_run=yes';
    problem $cp->post("$pools?wait=forever", {}), 400, 'invalid_request', 'wait=forever';
    problem $cp->post("$pools?wait_ms=$_", {}), 400, 'invalid_request', "wait_ms=$_" for 0, 'x', 60001, '99999999999999999999';
    problem $cp->get('/api/v1/version?x=1'), 400, 'invalid_request', 'none is taken';
    problem $cp->get("$pools?" . join '&', map { "p$_=1" } 1 .. 20), 400, 'invalid_request', 'many';
    is $cp->get("$pools?%6cimit=1")->status, 200, 'encoded names are names';
};

subtest 'request ids' => sub {
    is $cp->get('/healthz', 'X-Request-Id' => 'caller-1.x_2')->header('x-request-id'), 'caller-1.x_2', 'the caller\'s';
    for my $odd ('a b', '<x>', 'é', 'x' x 65, '"') {
        like $cp->get('/healthz', 'X-Request-Id' => $odd)->header('x-request-id'), qr/^req_[0-9a-f]{32}$/, "not \"$odd\"";
    }
};

subtest 'documents' => sub {
    my $send = sub { my ($body, @headers) = @_; $cp->request(POST => $pools, body => $body, headers => \@headers) };
    my %bad = (
        'nothing' => '', 'half' => '{"name": ', 'no JSON' => 'name=a', 'a second value' => '{} {}', 'a comma' => '{"name": "a",}',
        'a member twice' => '{"name": "a", "name": "b"}', 'a NUL escape' => '{"name": "a\u0000b"}', 'a NUL byte' => "{\"name\": \"a\0b\"}",
        'a NUL in a name' => '{"na\u0000me": "a"}', 'no UTF-8' => "{\"name\": \"\xff\"}", 'half a surrogate' => '{"name": "\ud800"}',
        'an integer too large' => '{"name": 99999999999999999999}', 'a fraction too large' => '{"name": 1e999}',
        'deep lists' => '[' x 100000, 'deep objects' => '{"a":' x 65 . '1' . '}' x 65,
    );
    problem $send->($bad{$_}), 400, 'invalid_json', $_ for sort keys %bad;
    like $send->("{\n  \"name\": \"a\",\n  \"name\": \"b\"}")->json->{detail}, qr/line 3, column \d+: an object has this member twice/, 'line and column';
    my $secret = 'sk-very-secret';
    unlike $send->("{\"name\": $secret}")->body, qr/very-secret/, 'the text is not quoted';
    problem $send->($_), 422, 'invalid_document', $_ for '[]', '"a"', '1', 'null', 'true';
    is_deeply [$send->('[]')->pointers], [''], 'the whole document';

    problem $send->('{}', 'Content-Type' => $_), 415, 'media_type', $_
        for 'text/plain', 'application/jsonx', 'application/json; charset=latin1', 'application/merge-patch+json';
    problem $send->('{}', 'Content-Type' => $_), 422, 'invalid_document', $_ for 'Application/JSON', 'application/json; charset=UTF-8';
    problem $cp->request(DELETE => "$pools/x", body => '{}'), 400, 'invalid_request', 'a body where none is taken';

    my $res = $cp->post($pools, {nmae => 'x', membrs => [], strategy => 5, 'a/b~c' => 1, version => 3});
    problem $res, 422, 'invalid_document', 'faults';
    is_deeply [sort $res->pointers], [sort '/nmae', '/membrs', '/strategy', '/a~1b~0c', '/version', '/name'], 'each with its pointer';
    like $res->body, qr/did you mean \\"members\\"/, 'the nearest name';
    is_deeply [$cp->post($pools, {name => 'x', members => [{key => 'a', wieght => 1}]})->pointers], ['/members/0/wieght'], 'a nested one';
    my $many = $cp->post($pools, {name => 'x', members => [], map { ("unknown$_" => 1) } 1 .. 50});
    is scalar(@{$many->json->{faults}}), 20, 'twenty at most';
};

subtest 'long bodies' => sub {
    my $mega = 8 * 1024 * 1024;
    problem $cp->request(POST => $pools, headers => ['Content-Length' => $mega + 1], body => ' ' x 100), 413, 'too_large', 'announced';
    my $chunk = sprintf "%x\r\n%s\r\n", 1 << 20, ' ' x (1 << 20);
    problem $cp->request(POST => $pools, headers => ['Transfer-Encoding' => 'chunked'], body => $chunk x 9 . "0\r\n\r\n"), 413, 'too_large', 'in chunks';
    problem $cp->request(POST => $pools, headers => ['Transfer-Encoding' => 'chunked'], body => "2\r\n{}\r\n0\r\n\r\n"), 422, 'invalid_document', 'small chunks';
    problem $cp->request(POST => $pools, body => ' ' x ($mega - 2) . '{}'), 422, 'invalid_document', 'just within';
    problem $cp->request(POST => $pools, token => undef, body => ' ' x $mega), 401, 'unauthenticated', 'who has no token still reads the answer';
    problem $cp->request(POST => $pools, token => undef, headers => [Expect => '100-continue', 'Content-Length' => 5], body => ''),
        401, 'unauthenticated', 'whoever asks first is told at once';
};

subtest 'requests that are none' => sub {
    for my $raw ("nonsense\r\n\r\n", "GET /healthz\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: a\r\n" . "X: " . 'y' x 100000 . "\r\n\r\n", "\0\0\0\0\r\n\r\n") {
        my $bytes = $cp->exchange($raw, 5);
        unlike $bytes, qr/^HTTP\S+ 2/, 'refused: ' . substr $raw =~ s/[^ -~].*//sr, 0, 30;
    }
    is $cp->get('/healthz')->status, 200, 'and it lives';
    problem $cp->request(BREW => '/healthz'), 405, 'method_not_allowed', 'a method of nobody';
};

subtest 'conditions' => sub {
    my $made = $cp->post($pools, {name => 'match', members => []});
    is $made->status, 201;
    my $etag = $made->header('etag');
    like $etag, qr/^"\d+"$/, 'a strong ETag';
    problem $cp->patch("$pools/match", {}), 428, 'precondition_required', 'none';
    problem $cp->patch("$pools/match", {}, 'If-Match' => '"999"'), 412, 'stale', 'another';
    my $res = $cp->patch("$pools/match", {strategy => 'weighted'}, 'If-Match' => $etag, 'Content-Type' => 'application/merge-patch+json');
    is $res->status, 200, 'the right one';
    problem $cp->patch("$pools/match", {}, 'If-Match' => $etag), 412, 'stale', 'that one is old now';
    is $cp->delete("$pools/match", 'If-Match' => '*')->status, 204, '*';
};

subtest 'dry_run' => sub {
    my $before = $cp->sql('SELECT revision FROM installation');
    my $res = $cp->post("$pools?dry_run=true", {name => 'dry', members => []});
    is $res->status, 201, 'the answer';
    is $res->header('dry_run'), 'true', 'and a header that says so';
    problem $cp->get("$pools/dry"), 404, 'not_found', 'nothing was made';
    is $cp->sql("SELECT count(*) FROM event WHERE object_name = 'dry'"), 0, 'no event';
    is $cp->sql('SELECT revision FROM installation'), $before, 'no revision';
    problem $cp->post("$pools?dry_run=true", {members => []}), 422, 'invalid_document', 'faults are found';
    is $cp->post($pools, {name => 'dry', members => []})->header('dry_run'), undef, 'no header otherwise';
};

subtest 'Idempotency-Key' => sub {
    my @key = ('Idempotency-Key' => 'key-1');
    my $first = $cp->post($pools, {name => 'idem', members => []}, @key);
    is $first->status, 201;
    is $first->header('idempotency-replayed'), undef, 'the first is carried out';
    my $again = $cp->post($pools, {name => 'idem', members => []}, @key);
    is $again->status, 201, 'the same answer';
    is $again->header('idempotency-replayed'), 'true', '... from before';
    is_deeply $again->json, $first->json, '... the body';
    is $again->header($_), $first->header($_), "... $_" for qw(etag location relay-revision);
    problem $cp->post($pools, {name => 'idem2', members => []}, @key), 409, 'idempotency_mismatch', 'another body';
    problem $cp->post('/api/v1/workspaces/default/policies', {name => 'idem', members => []}, @key), 422, 'invalid_document', 'another path: its own check first';
    problem $cp->post($pools, {members => []}, 'Idempotency-Key' => 'key-2'), 422, 'invalid_document', 'a refusal';
    is $cp->post($pools, {name => 'good', members => []}, 'Idempotency-Key' => 'key-2')->status, 201, '... is not kept';
    is $cp->post("$pools?dry_run=true", {name => 'dry3', members => []}, 'Idempotency-Key' => 'key-3')->status, 201, 'a dry run';
    is $cp->post($pools, {name => 'dry3', members => []}, 'Idempotency-Key' => 'key-3')->header('idempotency-replayed'), undef, '... is not kept';
    problem $cp->get($pools, @key), 400, 'invalid_request', 'not for reading';
    problem $cp->post($pools, {name => 'k', members => []}, 'Idempotency-Key' => $_), 400, 'invalid_request', 'a bad key' for 'a b', 'x' x 256, "\xc3\xa9";

    my $other = $cp->post('/api/v1/api-tokens', {name => 'second', role => 'admin'})->json->{token};
    is $cp->post($pools, {name => 'other', members => []}, @key, token => $other)->status, 201, 'another token has keys of its own';
    $cp->sql("UPDATE idempotency SET created_at = now() - interval '25 hours'");
    is $cp->post($pools, {name => 'later', members => []}, @key)->status, 201, 'after a day the key is free';
    is $cp->sql("SELECT count(*) FROM idempotency WHERE created_at < now() - interval '1 day'"), 0, 'and old ones are gone';
};

subtest 'Idempotency-Key: what is shown once' => sub {
    my @request = ('/api/v1/api-tokens', {name => 'shown-once', role => 'viewer'}, 'Idempotency-Key' => 'secret-1');
    my $first = $cp->post(@request);
    my $token = $first->json->{token};
    like $token, qr/^rlt_/, 'shown';
    my $again = $cp->post(@request);
    is $again->status, 201, 'again';
    is $again->header('idempotency-replayed'), 'true';
    is $again->json->{id}, $first->json->{id}, 'the same thing';
    ok !exists $again->json->{token}, 'without what is shown once';
    is $cp->sql("SELECT count(*) FROM idempotency WHERE answer::text LIKE '%$token%'"), 0, 'it was not stored';
};

subtest 'Idempotency-Key: at the same time' => sub {
    my @children;
    for my $n (1 .. 6) {
        my $pid = open(my $out, '-|') // die "fork: $!";
        if (!$pid) {
            my $res = $cp->post($pools, {name => 'at-once', members => []}, 'Idempotency-Key' => 'at-once');
            print $res->status, ' ', $res->header('idempotency-replayed') // 'made', ' ', $res->json->{id}, "\n";
            close STDOUT;
            POSIX::_exit(0);
        }
        push @children, $out;
    }
    my %said;
    for my $out (@children) { my $line = <$out>; chomp $line; $said{$line}++; close $out }
    my @made = grep { /made/ } keys %said;
    is scalar @made, 1, 'one made it' or diag explain \%said;
    is $said{$made[0]}, 1, 'once';
    my ($id) = $made[0] =~ /(\S+)$/;
    is $said{"201 true $id"}, 5, 'the others have its answer';
};

subtest 'a transaction that loses is run again' => sub {
    $cp->sql(q{CREATE SEQUENCE test_tries;
        GRANT USAGE ON SEQUENCE test_tries TO relay_app;
        CREATE FUNCTION test_lose() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN
            IF NEW.name = 'loser' AND nextval('test_tries') <= 2 THEN
                RAISE EXCEPTION 'lost' USING ERRCODE = 'serialization_failure'; END IF;
            IF NEW.name = 'hopeless' THEN RAISE EXCEPTION 'lost' USING ERRCODE = 'deadlock_detected'; END IF;
            IF NEW.name = 'broken' THEN RAISE EXCEPTION 'secret-value'; END IF;
            IF NEW.name = 'slow' THEN PERFORM pg_sleep(60); END IF;
            RETURN NEW; END $f$;
        CREATE TRIGGER test_lose BEFORE INSERT ON pool FOR EACH ROW EXECUTE FUNCTION test_lose()});
    is $cp->post($pools, {name => 'loser', members => []})->status, 201, 'until it succeeds';
    is $cp->sql("SELECT count(*) FROM event WHERE object_name = 'loser'"), 1, 'one event';
    my $res = $cp->post($pools, {name => 'hopeless', members => []});
    problem $res, 503, 'unavailable', 'but not for ever';
    $res = $cp->post($pools, {name => 'broken', members => []});
    problem $res, 500, 'internal', 'any other failure';
    unlike $res->body, qr/secret-value|P0001/, '... stays inside';
};

subtest 'workspaces and roles' => sub {
    $cp->sql("INSERT INTO workspace (id, name) VALUES ('01932c00-0000-7000-8000-000000000001', 'other')");
    my $tokens = '/api/v1/api-tokens';
    my $viewer = $cp->post($tokens, {name => 'viewer', role => 'viewer'})->json->{token};
    my $narrow = $cp->post($tokens, {name => 'narrow', role => 'admin', workspace => 'other'})->json->{token};
    my $scoped = $cp->post($tokens, {name => 'scoped', role => 'admin', scopes => ['events:read']})->json->{token};

    is $cp->get($pools, token => $viewer)->status, 200, 'a viewer reads';
    problem $cp->post($pools, {name => 'v', members => []}, token => $viewer), 403, 'forbidden', 'but does not write';
    problem $cp->get($pools, token => $scoped), 403, 'forbidden', 'a scope that is not held';
    is $cp->get('/api/v1/workspaces/default/events', token => $scoped)->status, 200, 'one that is';

    my $hidden  = $cp->get($pools, token => $narrow);
    my $missing = $cp->get('/api/v1/workspaces/missing/pools', token => $narrow);
    problem $hidden, 404, 'not_found', 'another workspace';
    is $missing->body =~ s/missing/default/r, $hidden->body, 'looks like one that is not there';
    is $cp->get('/api/v1/workspaces/other/pools', token => $narrow)->status, 200, 'its own';
    my $id = $cp->get('/api/v1/workspaces/default')->json->{id};
    is $cp->get("/api/v1/workspaces/$id/pools")->status, 200, 'by id';
};

subtest 'rows of another workspace are invisible' => sub {
    is $cp->post('/api/v1/workspaces/other/pools', {name => 'theirs', members => []})->status, 201;
    my $default = $cp->sql("SELECT id FROM workspace WHERE name = 'default'");
    my $as = sub { $cp->sql("BEGIN; SET LOCAL ROLE relay_app; $_[0]; SELECT count(*) FROM pool WHERE name = 'theirs'; COMMIT") =~ s/^.*\n//sr };
    is $as->("SELECT set_config('relay.workspace', '$default', true)"), 0, 'from another workspace';
    is $as->("SELECT set_config('relay.workspace', '01932c00-0000-7000-8000-000000000001', true)"), 1, 'from its own';
    is $as->('SELECT 1'), 0, 'from none';
    is $as->("SELECT set_config('relay.all', 'on', true)"), 1, 'for the installation';

    $cp->sql(q{CREATE TABLE test_seen (who text, bypasses boolean, workspace text, everything text);
        GRANT INSERT ON test_seen TO relay_app;
        CREATE FUNCTION test_see() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN
            INSERT INTO test_seen SELECT current_user, rolsuper OR rolbypassrls, current_setting('relay.workspace'), current_setting('relay.all')
                FROM pg_roles WHERE rolname = current_user; RETURN NEW; END $f$;
        CREATE TRIGGER test_see BEFORE INSERT ON pool FOR EACH ROW EXECUTE FUNCTION test_see()});
    is $cp->post($pools, {name => 'seen', members => []})->status, 201;
    is $cp->sql('SELECT * FROM test_seen'), "relay_app|f|$default|off", 'a request runs as a role that is held to its workspace';
};

subtest 'wait=applied' => sub {
    my $node = sub { JSON::PP->new->canonical->encode({node => 'test', worker => 0, pid => 1, revision => $_[0], state => 'applied', at => time, version => '0.1.0'}) =~ s/("at":\d+)\.\d+/$1/r };
    is $cp->post("$pools?wait=applied", {name => 'waited', members => []})->status, 201, 'nobody serves: nobody to wait for';
    $cp->redis('HSET', 'relay:nodes', 'test/0', $node->(1));
    my $began = time;
    my $res = $cp->post("$pools?wait=applied&wait_ms=300", {name => 'not-applied', members => []});
    problem $res, 504, 'not_applied', 'a worker that stays behind';
    cmp_ok time - $began, '<', 2, '... in time';
    like $res->header('etag'), qr/^"\d+"$/, '... with the ETag';
    is $cp->get("$pools/not-applied")->status, 200, '... and the change is stored';
    my ($revision) = $res->header('relay-revision');
    like $revision, qr/^\d+$/, '... its revision';
    $cp->redis('HSET', 'relay:nodes', 'test/0', $node->($revision + 100));
    is $cp->post("$pools?wait=applied", {name => 'applied', members => []})->status, 201, 'a worker that serves it';

    $cp->redis('HSET', 'relay:nodes', 'test/0', $node->(1));
    my @waiting = map {
        my $pid = fork // die;
        if (!$pid) { $cp->post("$pools?wait=applied&wait_ms=2500", {name => "starve$_", members => []}); POSIX::_exit(0) }
        $pid;
    } 1 .. 12;
    sleep 0.7;
    $began = time;
    is $cp->get($pools)->status, 200, 'twelve that wait';
    cmp_ok time - $began, '<', 0.5, '... do not starve others';
    waitpid $_, 0 for @waiting;
    $cp->redis('DEL', 'relay:nodes');
};

subtest 'the log' => sub {
    my $secret = 'sk-planted-0123456789';
    $cp->post('/api/v1/workspaces/default/provider-keys', {name => 'planted', host => 'none', value => $secret}, 'X-Request-Id' => 'planted-1');
    my ($line) = grep { ($_->{id} // '') eq 'planted-1' && $_->{message} eq 'request' } $cp->log;
    is $line->{method}, 'POST', 'a line for each request';
    is $line->{path}, '/api/v1/workspaces/default/provider-keys';
    is $line->{operation}, 'createProviderKey';
    like $line->{$_}, qr/^[\d.]+$/, $_ for qw(status ms);
    like $line->{token}, qr/^tok_/, 'who asked';
    unlike $cp->log_text, qr/\Q$secret\E|rlt_|\Q@{[$cp->setup_token]}\E/, 'no secret in it';
};

$cp->done;
