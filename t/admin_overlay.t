# Hosts and models: the catalog's, patches on them, and a workspace's own.

use lib 't/lib';
use JSON::PP ();
use Relay::Admin;

my $admin = Relay::Admin->begin;
my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my ($hosts, $models, $keys) = map { $admin->path($_) } qw(hosts models provider-keys);
my $secret = $admin->secret('sk-overlay-0123456789');
my @any = ('If-Match' => '*');

sub all {
    my ($path, $limit) = @_;
    my ($cursor, @items);
    do {
        my $page = $admin->get("$path?limit=$limit" . (defined $cursor ? "&cursor=$cursor" : ''))->json;
        push @items, @{$page->{items}};
        $cursor = $page->{next_cursor};
    } while (defined $cursor);
    return @items;
}

subtest 'the catalog' => sub {
    my %all = (hosts => [all($hosts, 60)], models => [all($models, 400)]);
    is scalar @{$all{hosts}}, $admin->sql('SELECT count(*) FROM catalog_host'), 'all hosts';
    is scalar @{$all{models}}, $admin->sql('SELECT count(*) FROM catalog_model'), 'all models';
    cmp_ok scalar @{$all{hosts}}, '>=', 85, '... and many';
    cmp_ok scalar @{$all{models}}, '>=', 700, '... and many';
    for my $kind (sort keys %all) {
        my @names = map { $_->{name} } @{$all{$kind}};
        is_deeply \@names, [sort @names], "$kind: in order";
        my %sources = map { ($_->{source} => 1) } @{$all{$kind}};
        is_deeply \%sources, {catalog => 1}, '... of the catalog';
        is scalar(grep { exists $_->{id} || exists $_->{patch} || $_->{version} } @{$all{$kind}}), 0, '... without id, patch and version';
    }
    my $res = $admin->get("$hosts/openai");
    is $res->json->{base_url}, 'https://api.openai.com/v1', 'one by name';
    is $res->header('etag'), '"0"', 'its ETag';
    problem $admin->delete("$hosts/openai", @any), 409, 'conflict', 'it cannot be deleted';
    problem $admin->patch("$hosts/none", {local => $true}, @any), 404, 'not_found', 'nor one patched that is not there';
};

subtest 'a patch, and one on it' => sub {
    my $template = $admin->get("$hosts/openai")->json;
    problem $admin->patch("$hosts/openai", {local => $true}), 428, 'precondition_required', 'If-Match';
    problem $admin->patch("$hosts/openai", {local => $true}, 'If-Match' => '"1"'), 412, 'stale', 'stale';
    my $res = $admin->patch("$hosts/openai", {timeouts => {connect_ms => 5}, facts => undef, headers => {'x-a' => '1'}}, 'If-Match' => '"0"');
    is $res->status, 200, 'patched' or diag $res->body;
    my $patched = $res->json;
    is $patched->{source}, 'patched', 'it says so';
    like $patched->{id}, qr/^host_/, 'it has an id now';
    is $res->header('etag'), '"1"', 'and a version';
    is_deeply $patched->{patch}, {timeouts => {connect_ms => 5}, facts => undef, headers => {'x-a' => '1'}}, 'the patch, with its null';
    is_deeply $patched->{template}, {map { ($_ => $template->{$_}) } grep { !/^(?:name|source|version)$/ } keys %$template}, 'the template';
    is_deeply $patched->{headers}, {'x-a' => '1'}, 'what is in effect: added';
    ok !exists $patched->{facts}, '... removed';
    is $patched->{base_url}, $template->{base_url}, '... left';
    is_deeply $admin->get("$hosts/$_")->json, $patched, "read as $_" for 'openai', $patched->{id};
    my ($listed) = grep { $_->{name} eq 'openai' } all($hosts, 200);
    is_deeply $listed, $patched, 'and listed so';

    my $second = $admin->patch("$hosts/openai", {timeouts => {idle_ms => 6}, headers => {'x-a' => undef, 'x-b' => '2'}, facts => {own => 1}}, 'If-Match' => '"1"')->json;
    is_deeply $second->{patch}, {timeouts => {connect_ms => 5, idle_ms => 6}, headers => {'x-a' => undef, 'x-b' => '2'}, facts => {own => 1}}, 'one patch that does both';
    is_deeply $second->{timeouts}, {connect_ms => 5, idle_ms => 6}, 'in effect';
    is_deeply $second->{headers}, {'x-b' => '2'}, '... its null, too';
    is $second->{facts}{own}, 1, '... what came back';
    is $second->{facts}{name}, $template->{facts}{name}, '... on the template\'s';

    is $admin->delete("$hosts/openai", 'If-Match' => '"2"')->status, 204, 'the patch goes';
    is_deeply $admin->get("$hosts/openai")->json, $template, 'the catalog\'s entry is back';
    problem $admin->get("$hosts/$patched->{id}"), 404, 'not_found', 'the id is gone';
    is_deeply [map { $_->{verb} } $admin->events($patched->{id})], [qw(patched patched deleted)], 'events';
};

subtest 'what a patch may not be' => sub {
    my $before = $admin->stored;
    my %bad = ('/formats' => {formats => 5}, '/base_url' => {base_url => 'ftp://x'}, '/headers/host' => {headers => {host => 'x'}},
        '/auth/hedaer' => {auth => {hedaer => 'x'}}, '/name' => {name => 'x'}, '/source' => {source => 'own'}, '/template' => {template => {}});
    problem $admin->patch("$hosts/openai", $bad{$_}, @any), 422, 'invalid_document', 'a host', $_ for sort keys %bad;
    problem $admin->patch("$hosts/openai", {base_url => undef}, @any), 422, 'invalid_document', 'a host without its URL';
    my %model = ('/offers/0/host' => {offers => [{host => 'none'}]}, '/aliases/0' => {aliases => ['a b']}, '/context_tokens' => {context_tokens => 0});
    problem $admin->patch("$models/gpt-4o", $model{$_}, @any), 422, 'invalid_document', 'a model', $_ for sort keys %model;
    is $admin->stored, $before, 'nothing was written';
};

subtest 'own ones' => sub {
    my $host = $admin->post($hosts, {name => 'ollama-here', base_url => 'http://127.0.0.1:11434/v1', formats => ['openai-chat'], local => $true,
        auth => {type => 'none'}});
    is $host->status, 201, 'a local host in one POST' or diag $host->body;
    is $host->json->{source}, 'own', 'own';
    ok !exists $host->json->{template} && !exists $host->json->{patch}, 'no template, no patch';
    problem $admin->post($hosts, {name => 'private', base_url => 'http://127.0.0.1:1/v1'}), 422, 'invalid_document', 'without formats';
    problem $admin->post($hosts, {name => 'openai', base_url => 'https://x.example', formats => ['openai-chat']}), 409, 'conflict', 'a name of the catalog';
    problem $admin->post($models, {name => 'gpt-4o', offers => [{host => 'ollama-here'}]}), 409, 'conflict', 'a model of the catalog';
    my $model = $admin->post($models, {name => 'llama:8b', offers => [{host => $host->json->{id}}]});
    is $model->status, 201, 'a model of it' or diag $model->body;
    is $model->json->{offers}[0]{host}, 'ollama-here', 'by name';
    is $admin->patch("$models/gpt-4o", {offers => [{host => 'ollama-here', id => 'x'}]}, @any)->json->{offers}[0]{host}, 'ollama-here', 'a patch refers to it';
    like $admin->delete("$hosts/ollama-here", @any)->json->{detail}, qr/in use by model "(?:llama:8b|gpt-4o)", model "/, 'both count';
    is $admin->delete("$models/gpt-4o", @any)->status, 204, 'the patch is gone';
    my $patched = $admin->patch("$hosts/ollama-here", {timeouts => {total_ms => 7}, auth => undef}, 'If-Match' => $host->header('etag'))->json;
    is $patched->{source}, 'own', 'a patch of an own one is a change';
    ok !exists $patched->{auth}, '... null removes';
    my ($listed) = grep { $_->{source} eq 'own' } all($models, 500);
    is $listed->{name}, 'llama:8b', 'own models are listed among the others';
    is $admin->delete("$models/llama:8b" =~ s/:8b/%3A8b/r, @any)->status, 204, 'gone';
    is $admin->delete("$hosts/ollama-here", @any)->status, 204, 'gone';
};

subtest 'a host that moves takes no key along' => sub {
    $admin->make('provider-keys' => {name => 'sealed', host => 'openai', value => $secret});
    $admin->make('provider-keys' => {name => 'referred', host => 'openai', value_from => 'env:HOME'});
    $admin->make(pools => {name => 'p', members => [{key => 'sealed'}]});
    my $state = sub { $admin->get("$keys/$_[0]")->json };
    my $published = sub {
        my $want = $admin->sql('SELECT revision FROM installation');
        for (1 .. 200) {
            my $head = $admin->redis(GET => 'relay:head');
            if ($head =~ /"revision":(\d+)/ && $1 >= $want) {
                my ($digest) = $head =~ m{"name":"workspace/default","sha256":"(\w+)"};
                return $admin->redis(GET => "relay:document:$digest");
            }
            sleep 0.02;
        }
        return '';
    };
    is $state->('sealed')->{state}, 'ready', 'ready';
    like $published->(), qr/"sealed":\{[^}]*"sealed":"/, 'and published';

    $admin->patch("$hosts/openai", {base_url => 'https://proxy.example/v1'}, @any);
    my $moved = $state->('sealed');
    is $moved->{state}, 'moved', 'its host moved';
    like $moved->{state_reason}, qr{https://api\.openai\.com:443 .* https://proxy\.example:443 now: send it again}, '... and why';
    is $moved->{origin}, 'https://api.openai.com:443', 'it is for where it was';
    unlike $published->(), qr/"sealed":\{[^}]*"sealed":"/, 'it is not published';
    is $admin->post("$keys/sealed:test")->json->{outcome}, 'unavailable', 'nor sent for a test';
    is $admin->post("$keys/sealed:disable", undef, @any)->status, 200, 'it can be disabled';
    is $admin->post("$keys/sealed:enable", undef, @any)->json->{state}, 'moved', '... and enabled: moved all the same';
    is $admin->patch("$keys/sealed", {description => 'x'}, @any)->json->{state}, 'moved', '... and described';

    my $healed = $admin->patch("$keys/sealed", {value => $secret}, @any)->json;
    is $healed->{state}, 'ready', 'sent again, it is good';
    is $healed->{origin}, 'https://proxy.example:443', '... for the new place';
    is $healed->{secret_version}, 2, '... as a new value';
    like $published->(), qr/"sealed":\{[^}]*"sealed":"/, '... and published';

    $admin->delete("$hosts/openai", @any);
    is $state->('sealed')->{state}, 'moved', 'back: it stays where it was given for';
    $admin->make(hosts => {name => 'elsewhere', base_url => 'https://elsewhere.example', formats => ['openai-chat']});
    problem $admin->patch("$keys/sealed", {host => 'elsewhere'}, @any), 422, 'invalid_document', 'another host', '/value';
    is $admin->patch("$keys/sealed", {host => 'elsewhere', value => $secret}, @any)->json->{origin}, 'https://elsewhere.example:443', 'with its value';
    is $admin->patch("$keys/referred", {host => 'elsewhere'}, @any)->json->{origin}, 'https://elsewhere.example:443', 'a reference goes along';
};

subtest 'a host with variables' => sub {
    my $published = sub {
        my $want = $admin->sql('SELECT revision FROM installation');
        for (1 .. 200) {
            my $head = $admin->redis(GET => 'relay:head');
            if ($head =~ /"revision":(\d+)/ && $1 >= $want) {
                my ($digest) = $head =~ m{"name":"workspace/default","sha256":"(\w+)"};
                return JSON::PP::decode_json($admin->redis(GET => "relay:document:$digest"))->{hosts};
            }
            sleep 0.02;
        }
        return {};
    };
    problem $admin->post($keys, {name => 'aws', host => 'bedrock', value => $secret}), 422, 'invalid_document', 'no place for a key yet', '/host';
    problem $admin->patch("$hosts/bedrock", {variables => $_->[1]}, @any), 422, 'invalid_document', $_->[0], $_->[2]
        for ['a value with a space', {region => 'eu central'}, '/variables/region'], ['no text', {region => 1}, '/variables/region'],
            ['one of its own', {model => 'x'}, '/variables/model'];

    my $res = $admin->patch("$hosts/bedrock", {variables => {region => 'eu-central-1'}}, @any);
    is $res->status, 200, 'patched' or diag $res->body;
    is $res->json->{base_url}, 'https://bedrock-runtime.{region}.amazonaws.com', 'what is shown is what is written';
    my $host = $published->()->{bedrock};
    is_deeply $host->{variables}, {region => 'eu-central-1'}, 'published';
    is_deeply [sort keys %{$host->{formats}}], [qw(bedrock-cohere-embed bedrock-converse
        bedrock-converse-stream bedrock-invoke bedrock-invoke-stream bedrock-titan-embed openai-chat openai-responses)],
        '... with what is at the same origin';
    is_deeply $host->{auth}, {type => 'sigv4', service => 'bedrock'}, '... and its way to authenticate';
    is $admin->make('provider-keys' => {name => 'aws', host => 'bedrock', value => $secret})->{origin},
        'https://bedrock-runtime.eu-central-1.amazonaws.com:443', 'a key is for the place that the variables tell';
    $admin->patch("$hosts/bedrock", {variables => {region => 'us-east-1'}}, @any);
    is $admin->get("$keys/aws")->json->{state}, 'moved', '... and stays there when they change';
    is $admin->delete("$keys/aws", @any)->status, 204, 'gone';

    $admin->patch("$hosts/azure-openai", {variables => {resource => 'ours'}, dialect => {'openai-chat' => {top_k => $true}}}, @any);
    $host = $published->()->{'azure-openai'};
    is_deeply $host->{variables}, {resource => 'ours', api_version => '2024-10-21'}, 'those of the catalog stay';
    is_deeply $host->{dialect}{'openai-chat'}, {developer_role => $true, max_tokens_field => 'max_completion_tokens', top_k => $true}, '... as does the dialect';
    is $host->{formats}{'azure-openai'}, '/openai/deployments/{model}/chat/completions?api-version={api_version}', 'paths are as they are written';
    problem $admin->patch("$hosts/azure-openai", {dialect => {'openai-chat' => {top_k => 1}}}, @any), 422, 'invalid_document', 'a dialect', '/dialect/openai-chat/top_k';
    is $admin->patch("$hosts/gemini", {timeouts => {idle_ms => 7}}, @any)->status, 200, 'gemini';
    is_deeply $published->()->{gemini}{auth}, {header => 'x-goog-api-key', prefix => '', formats => {map { ($_ => {header => 'authorization', prefix => 'Bearer '}) } qw(openai-chat openai-embeddings)}},
        'headers by format';
    $admin->delete("$hosts/$_", @any) for qw(bedrock azure-openai gemini);
};

subtest 'what a model takes' => sub {
    my $res = $admin->patch("$models/claude-opus-4-5", {refuses => ['seed'], thinking => 'adaptive', reasoning_efforts => ['high'], reasoning_budget => {max => 9000},
        offers => [{host => 'anthropic', output_tokens => 5, reasoning_efforts => ['low'], dialect => {'anthropic-messages' => {temperature => $false}, telepathy => {}}}]}, @any);
    is $res->status, 200, 'patched' or diag $res->body;
    is_deeply $res->json->{reasoning_budget}, {min => 1024, max => 9000}, 'on what the catalog has';
    my %bad = ('/refuses/0' => {refuses => ['speed']}, '/thinking' => {thinking => 'deep'}, '/reasoning_efforts/0' => {reasoning_efforts => ['most']},
        '/reasoning_budget/max' => {reasoning_budget => {max => -1}}, '/offers/0/dialect/anthropic-messages/strict' => {offers => [{host => 'anthropic', dialect => {'anthropic-messages' => {strict => $true}}}]});
    problem $admin->patch("$models/claude-opus-4-5", $bad{$_}, @any), 422, 'invalid_document', 'not', $_ for sort keys %bad;
    my $model;
    for (1 .. 200) {
        my ($digest) = $admin->redis(GET => 'relay:head') =~ m{"name":"workspace/default","sha256":"(\w+)"};
        last if $model = JSON::PP::decode_json($admin->redis(GET => "relay:document:$digest"))->{models}{'claude-opus-4-5'};
        sleep 0.02;
    }
    is_deeply [@$model{qw(refuses thinking reasoning_efforts reasoning_budget)}], [['seed'], 'adaptive', ['high'], {min => 1024, max => 9000}], 'published';
    is_deeply $model->{offers}, [{host => 'anthropic', output_tokens => 5, reasoning_efforts => ['low'], dialect => {'anthropic-messages' => {temperature => $false}}}],
        '... with what the workers know of the offer';
    $admin->delete("$models/claude-opus-4-5", @any);
};

subtest 'seeding again keeps what was changed' => sub {
    $admin->patch("$models/gpt-4o", {display_name => 'Ours'}, @any);
    $admin->stop_relayd;
    $admin->sql("UPDATE installation SET catalog_version = 'old'");
    $admin->sql("UPDATE catalog_model SET document = document || '{\"owned_by\": \"nobody\"}' WHERE name = 'gpt-4o'");
    $admin->sql("INSERT INTO catalog_model VALUES ('gone-model', 'x', '{}')");
    $admin->start;
    my $model = $admin->get("$models/gpt-4o")->json;
    is $model->{display_name}, 'Ours', 'the patch';
    isnt $model->{owned_by}, 'nobody', 'on the new template';
    problem $admin->get("$models/gone-model"), 404, 'not_found', 'what the catalog has no more is gone';
};

$admin->done;
