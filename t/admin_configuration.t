# The whole configuration as one document: export, plan, apply, prune.

use lib 't/lib';
use JSON::PP ();
use Relay::Admin;

my $admin = Relay::Admin->begin;
$admin->scene;
my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $path = $admin->path('configuration');
my $secret = $admin->secret('sk-configuration-0123456789');

sub apply { my ($document, $query, %o) = @_; $admin->post("$path:apply" . ($query // ''), $document, %o) }
sub plan_of { my ($document, $query) = @_; $admin->post("$path:plan" . ($query // ''), $document) }
sub steps { join ' ', map { "$_->{verb}:$_->{section}/$_->{name}" } @{$_[0]->json->{steps}} }

# One of each, under names that pointers have to escape; and a patch of each kind.
my %document = (
    hosts => {'a/b' => {base_url => 'http://127.0.0.1:9/v1', formats => ['openai-chat'], local => $true, headers => {'x-team' => 'a'}}},
    host_patches => {openai => {timeouts => {connect_ms => 1234}}},
    models => {'a/model' => {offers => [{host => 'a/b', id => 'up', pricing => {input => '0.10'}}], facts => {note => 'é'}}},
    model_patches => {'gpt-4o' => {display_name => 'Ours', context_tokens => undef}},
    provider_keys => {'a.key' => {host => 'a/b', value => $secret}, from => {host => 'openai', value_from => 'env:HOME', description => 'x'}},
    pools => {'pool/a' => {members => [{key => 'a.key', weight => 2}, {key => 'from', priority => 1}], strategy => 'weighted'}},
    policies => {'policy/a' => {pools => ['pool/a'], deny => ['x*'], max_attempts => 2, timeouts => {total_ms => 5}}},
    relay_keys => {'key/a' => {policy => 'policy/a', models => ['a/*'], tags => {t => 'v'}, expires_at => '2040-01-31T00:00:00Z'}},
);

subtest 'export | apply changes nothing' => sub {
    my $export = $admin->get($path)->json;
    my $before = $admin->stored;
    is steps(plan_of($export)), '', 'nothing is planned';
    is steps(plan_of($export, '?prune=true')), '', '... with prune, either';
    my $res = apply($export, '?prune=true');
    is $res->status, 200, 'applied';
    is steps($res), '', 'nothing was done';
    is $admin->stored, $before, 'nothing was written';
    is $res->header('relay-revision'), undef, 'no revision';
};

subtest 'plan says what apply does' => sub {
    my $before = $admin->stored;
    my $planned = plan_of(\%document);
    is $planned->status, 200, 'planned' or diag $planned->body;
    is $admin->stored, $before, 'a plan writes nothing';
    unlike $planned->body, qr/\Q$secret\E/, 'nor shows a secret';
    ok !exists $planned->json->{minted}, 'nor a key that will never be';
    my $dry = apply(\%document, '?dry_run=true');
    is steps($dry), steps($planned), 'a dry run says the same';
    is $admin->stored, $before, '... and writes nothing';

    my $applied = apply(\%document);
    is $applied->status, 200, 'applied' or diag $applied->body;
    is_deeply $applied->json->{steps}, $planned->json->{steps}, 'each step as planned';
    is steps($applied), 'create:host_patches/openai create:hosts/a/b create:model_patches/gpt-4o create:models/a/model'
        . ' create:provider_keys/a.key create:provider_keys/from create:pools/pool/a create:policies/policy/a create:relay_keys/key/a', 'in the order of references';
    my $key = $applied->json->{minted}{'key/a'};
    like $key, qr/^rly_\w{46}$/, 'the minted key is shown, once';
    $admin->secret($key);
    is $admin->post($admin->path('relay-keys:introspect'), {key => $key})->json->{active}, $true, 'and is good';
    like $applied->header('relay-revision'), qr/^\d+$/, 'with its revision';
    is steps(plan_of(\%document)), 'update:provider_keys/a.key', 'once more: only a value, which cannot be compared';
};

subtest 'what was applied is exported' => sub {
    my $export = $admin->get($path)->json;
    my %want = %{JSON::PP->new->decode(JSON::PP->new->encode(\%document))};
    delete $want{provider_keys}{'a.key'}{value};
    for my $section (sort keys %want) {
        for my $name (sort keys %{$want{$section}}) {
            my $got = $export->{$section}{$name};
            is_deeply {map { ($_ => $got->{$_}) } keys %{$want{$section}{$name}}}, $want{$section}{$name}, "$section/$name";
        }
    }
    unlike $admin->encode($export), qr/\Q$secret\E|rly_|public_id|"id":"(?:pk|rk|pool|pol|host)_/, 'no secrets, no ids';
    is $admin->get($admin->path('provider-keys/a.key'))->json->{state}, 'ready', 'a key can be used';
    my $before = $admin->stored;
    is steps(apply($export, '?prune=true')), '', 'export | apply changes nothing';
    is $admin->stored, $before, '... at all';
};

subtest 'small changes' => sub {
    my $export = $admin->get($path)->json;
    $export->{pools}{'pool/a'}{members}[0]{weight} = 7;
    $export->{host_patches}{openai} = {timeouts => {idle_ms => 9}};
    delete $export->{policies}{'policy/a'}{deny};
    $export->{provider_keys}{from}{disabled} = $true;
    delete $export->{provider_keys}{from}{value_from};
    my $res = apply($export);
    is steps($res), 'update:host_patches/openai update:provider_keys/from update:pools/pool/a update:policies/policy/a', 'only what differs';
    my ($pool) = grep { $_->{section} eq 'pools' } @{$res->json->{steps}};
    is $pool->{before}{members}[0]{weight}, 2, 'before';
    is $pool->{after}{members}[0]{weight}, 7, 'after';
    my $now = $admin->get($path)->json;
    is_deeply $now->{policies}{'policy/a'}{deny}, [], 'what is left out is the default';
    is $now->{provider_keys}{from}{value_from}, 'env:HOME', 'a value that is left out is kept';
    is_deeply $now->{host_patches}{openai}, {timeouts => {idle_ms => 9}}, 'a patch is the whole patch';
    is scalar @{$admin->get($admin->path('events') . '?object=pool/a')->json->{items}}, 2, 'with events';
};

subtest 'faults: where, and nothing is done' => sub {
    my $host = $document{hosts}{'a/b'};
    my %faults = (
        '/pools/main/members/0/key' => {pools => {main => {members => [{key => 'none'}]}}},
        '/pools/a~1b/members/1/key' => {pools => {'a/b' => {members => [{key => 'a.key'}, {key => 'a.key'}]}}},
        '/pools/main/membres' => {pools => {main => {membres => []}}},
        '/pools/main/name' => {pools => {main => {name => 'other'}}},
        '/pools/main' => {pools => {main => []}},
        '/hosts/x/base_url' => {hosts => {x => {%$host, base_url => 'nowhere'}}},
        '/hosts/x/formats/0' => {hosts => {x => {%$host, formats => ['none']}}},
        '/host_patches/openai/formats' => {host_patches => {openai => {formats => 5}}},
        '/host_patches/openai/timeouts/connect_ms' => {host_patches => {openai => {timeouts => {connect_ms => 0}}}},
        '/models/m/offers/0/host' => {models => {m => {offers => [{host => 'none'}]}}},
        '/model_patches/gpt-4o/offers/0/host' => {model_patches => {'gpt-4o' => {offers => [{host => 'none'}]}}},
        '/provider_keys/new/value' => {provider_keys => {new => {host => 'a/b'}}},
        '/provider_keys/new/value_from' => {provider_keys => {new => {host => 'a/b', value_from => 'nothing'}}},
        '/policies/p/pools/0' => {policies => {p => {pools => ['none']}}},
        '/relay_keys/k/policy' => {relay_keys => {k => {policy => 'none'}}},
        '/relay_keys/k/tags/a b' => {relay_keys => {k => {policy => 'team', tags => {'a b' => 'c'}}}},
        '/relay_keys/k~1~0 x/name' => {relay_keys => {'k/~ x' => {policy => 'team'}}},
        '/poools' => {poools => {}},
    );
    my $before = $admin->stored;
    for my $pointer (sort keys %faults) {
        # Something good goes first, and is not done either.
        my %with = (hosts => {'good' => $host}, %{$faults{$pointer}});
        $with{hosts} = {good => $host, %{$faults{$pointer}{hosts}}} if $faults{$pointer}{hosts};
        for my $action ('apply', 'plan') {
            problem $admin->post("$path:$action", \%with), 422, 'invalid_document', $action, $pointer;
        }
    }
    problem apply({hosts => {openai => $host}}), 409, 'conflict', 'a name of the catalog';
    problem apply({host_patches => {'no-such-host' => {local => $true}}}), 422, 'invalid_document', 'a patch of nothing', '/host_patches/no-such-host';
    is $admin->stored, $before, 'nothing was done';
    for (1 .. 2) { apply({pools => {main => {members => [{key => 'none'}]}}}, '', 'Idempotency-Key' => 'bad') }
    is $admin->stored, $before, 'nor kept';
};

subtest 'prune' => sub {
    my $export = $admin->get($path)->json;
    my $in_use = {%$export, policies => {}};
    my $before = $admin->stored;
    problem apply($in_use, '?prune=true'), 409, 'in_use', 'what is in use stays';
    is $admin->stored, $before, 'nothing was done';
    is steps(apply({%$export, policies => {}}, '?prune=false')), '', 'nothing goes without prune';

    delete $export->{$_} for qw(relay_keys policies host_patches model_patches);
    my $planned = plan_of($export, '?prune=true');
    my $applied = apply($export, '?prune=true');
    is_deeply $applied->json, $planned->json, 'as planned';
    is steps($applied), 'delete:relay_keys/app delete:relay_keys/key/a delete:policies/policy/a delete:policies/team'
        . ' delete:model_patches/gpt-4o delete:host_patches/openai', 'users go first, patches are called patches';
    is_deeply $admin->get($path)->json, $export, 'what is left is what the document says';
    is $admin->get($admin->path('hosts/openai'))->json->{source}, 'catalog', 'a host without its patch';
    is steps(apply({}, '?prune=true')), 'delete:pools/main delete:pools/pool/a delete:provider_keys/a.key delete:provider_keys/from'
        . ' delete:provider_keys/key-a delete:models/a/model delete:models/own/model delete:hosts/a/b delete:hosts/own-host', 'an empty one: nothing is left';
    is_deeply $admin->get($path)->json, {}, '... at all';
};

subtest 'a large one, at once' => sub {
    my %large = (hosts => {h => $document{hosts}{'a/b'}}, provider_keys => {map { ("k$_" => {host => 'h', value => ''}) } 1 .. 100},
        pools => {map { ("p$_" => {members => [{key => "k$_"}]}) } 1 .. 100}, policies => {map { ("q$_" => {pools => ["p$_"]}) } 1 .. 100},
        relay_keys => {map { ("r$_" => {policy => "q$_"}) } 1 .. 100});
    my $revision = $admin->sql('SELECT revision FROM installation');
    my $res = apply(\%large);
    is $res->status, 200, 'applied';
    is scalar @{$res->json->{steps}}, 401, 'all of it';
    is scalar keys %{$res->json->{minted}}, 100, 'with a hundred keys';
    $admin->secret(values %{$res->json->{minted}});
    is steps(apply({%{$admin->get($path)->json}}, '?prune=true')), '', 'export | apply';
};

subtest 'at the same time' => sub {
    my @children;
    for my $n (1 .. 4) {
        my $pid = open(my $out, '-|') // die "fork: $!";
        if (!$pid) {
            my $res = apply({pools => {p1 => {members => [], description => "of $n"}}});
            print $res->status, "\n";
            close STDOUT;
            POSIX::_exit(0);
        }
        push @children, $out;
    }
    my %said;
    for my $out (@children) { my $line = <$out>; chomp $line; $said{$line}++; close $out }
    is_deeply \%said, {200 => 4}, 'one after the other';
    like $admin->get($admin->path('pools/p1'))->json->{description}, qr/^of \d$/, 'the last one stands';
};

$admin->done;
