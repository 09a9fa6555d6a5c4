#!/usr/bin/perl

# A configuration that is published while nginx runs: taken, kept on disk,
# served from there, changed without a reload; sealed provider keys; what
# workers say of themselves; a store with TLS, users and a prefix.

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;
use Relay::Store;
use Digest::SHA qw(sha256_hex);

my $answer = sub { {body => chat_answer()} };
my ($a, $b) = (Relay::Mock->new(on => $answer), Relay::Mock->new(on => $answer));
my $body = {model => 'm', messages => []};
my $app = 'store-test-relay-key-0001';

sub ask { my ($t, %o) = @_; $t->post('/v1/chat/completions', $o{body} || $body, key => $app, %o) }

sub store_error {
    my ($res, $what) = @_;
    is $res->status, 503, "$what: 503";
    is $res->header('x-relay-error'), 'store_unavailable', "$what: it is the store";
    ok $res->header('retry-after'), "$what: retry-after";
}

my $generous_s = 30;    # what is awaited comes at once, unless the machine is busy

# Changes are heard of. Polls alone would find each but the first 2 s after the one before;
# a machine that is busy may hold up two of four.
sub heard {
    my ($store, $t, $what, @publish) = @_;
    my @took = map {
        $store->publish(@publish);
        my $begin = time;
        ok $store->applied($t, $store->{revision}, $generous_s), "$what: taken";
        time - $begin;
    } 1 .. 4;
    cmp_ok scalar(grep { $_ < 1 } @took), '>=', 2, "$what: within a second" or diag "@took";
}

# ---- from nothing to the first head -----------------------------------------

my $store = Relay::Store->new;
my $t = $store->nginx(workers => 2);
$t->start;

store_error(ask($t), 'an empty store');
store_error($t->post('/v1/messages', {model => 'm', max_tokens => 1, messages => []}, key => $app), 'an empty store, another dialect');
like $t->post('/v1/messages', {model => 'm', max_tokens => 1, messages => []}, key => $app)->body, qr/"type":"error"/,
    'an empty store: in the words of the dialect';
is ask($t, key => 'rly_not-whole')->status, 401, 'an empty store: what cannot be a key is refused';

my $config = relay_config(a => $a);
$store->publish('workspace/default' => $store->sealed($config));
ok $store->applied($t, 1, $generous_s), 'a head: every worker serves it';
my @first = $t->workers;
$store->key(name => 'app', secret => $app);

my $res = ask($t);
is $res->status, 200, 'a request goes through' or diag $res->body;
is $res->header('x-relay-host'), 'a', 'to the published host';
is $a->request(0)->key, secret('a'), 'with the provider key that was sealed';
my $log = $t->log_of($res);
is "$log->{key_id} $log->{policy} $log->{model}", 'app default m', 'the access log names key, policy and model';
is ask($t, key => 'another-relay-key-0000001')->status, 401, 'an unknown key: 401';
is_deeply [map { $_->{id} } @{$t->get('/v1/models', key => $app)->json->{data}}], ['m'], 'the model list';

# ---- changes ----------------------------------------------------------------

heard($store, $t, 'the next head', 'workspace/default' => $store->sealed(relay_config(b => $b)));
is ask($t)->header('x-relay-host'), 'b', 'and its host is asked';
is join(' ', $t->workers), join(' ', @first), 'no worker was replaced';
is scalar($a->open_connections(0, 2)), 0, 'idle connections to what nobody leads to any more are closed';

# several documents: catalog, workspaces; what the catalog has, others may replace
my $models = {models => {m => {offers => [{host => 'a', id => 'from-catalog'}]}, n => {offers => [{host => 'a', id => 'n'}, {host => 'odd', id => 'n'}]}}};
my $hosts = {hosts => {a => $config->{hosts}{a}, odd => {base_url => 'https://{resource}.example.com/v1', formats => ['openai-chat']}}};
my $keys = $store->sealed($config);
$store->publish('workspace/default' => {map { ($_ => $keys->{$_}) } qw(provider_keys pools policies)},
    'catalog/hosts' => $hosts, 'catalog/models/example' => $models);
ok $store->applied($t, $store->{revision}, $generous_s), 'catalog documents and a workspace';
is ask($t)->status, 200, 'a model of the catalog';
is $a->request(-1)->json->{model}, 'from-catalog', 'goes out under its name there';
is ask($t, body => {%$body, model => 'n'})->status, 200, 'a model with an offer that cannot be reached: the other offer';
$store->publish('workspace/default' => {%{$store->{documents}{own} || {}}, (map { ($_ => $keys->{$_}) } qw(provider_keys pools policies)),
    models => {m => {offers => [{host => 'a', id => 'from-workspace'}]}}});
ok $store->applied($t, $store->{revision}, $generous_s), 'a workspace replaces a model';
ask($t);
is $a->request(-1)->json->{model}, 'from-workspace', 'it counts';

# a hint is only a hint
$store->{revision}++;
$store->put_documents;
$store->command('SET', 'relay:head', $store->head);
ok $store->applied($t, $store->{revision}, $generous_s), 'a head that nobody announced is found by looking';

# ---- sealed keys that do not open -------------------------------------------

{
    my $two = relay_config(a => $a, b => $b);
    my %bent = (
        'another workspace' => {workspace => 'other'}, 'another name' => {name => 'kb'}, 'another version' => {},
        'another host' => {origin => 'https://example.com:443'}, 'another port' => {origin => 'http://127.0.0.1:1'},
        'another data-plane key' => {key => {id => 'data-1', key => 'x' x 32}}, 'an unknown data-plane key' => {key => {id => 'data-9', key => 'x' x 32}},
    );
    for my $how (sort keys %bent) {
        my $sealed = $store->sealed($two);
        $sealed->{provider_keys}{ka} = $store->seal_key($two, 'ka', %{$bent{$how}});
        $sealed->{provider_keys}{ka}{version} = 2 if $how eq 'another version';
        my $revision = $store->publish('workspace/default' => $sealed, 'catalog/hosts' => undef, 'catalog/models/example' => undef);
        ok $store->applied($t, $revision, $generous_s), "sealed for $how: the rest of the document serves";
        $res = ask($t);
        is $res->status . ' ' . $res->header('x-relay-host'), '200 b', "sealed for $how: the other provider is asked";
        is $res->header('x-relay-attempts'), 1, "sealed for $how: and nobody before it";
        like $store->reason($t), qr/1 provider key.*"ka"/, "sealed for $how: reported";
    }
    like $t->error_log, qr/revision \d+: 1 provider key\(s\) do not open .* "ka"/, 'and logged';
    $a->forget;

    # what is not sealed is not to be believed
    my $sealed = $store->sealed($two);
    $sealed->{provider_keys}{ka} = {host => 'a', value => 'plain-text-0123456789'};
    $store->publish('workspace/default' => $sealed);
    ok $store->applied($t, $store->{revision}, $generous_s), 'a secret in plain text';
    is ask($t)->header('x-relay-host'), 'b', 'is not used';
    $sealed->{provider_keys}{ka} = {host => 'a', value => ''};
    $store->publish('workspace/default' => $sealed);
    ok $store->applied($t, $store->{revision}, $generous_s), 'a host that needs no credential';
    is ask($t)->header('x-relay-host'), 'a', 'is asked';
    is $a->request(-1)->header('authorization'), undef, 'without one';
}

# ---- in memory --------------------------------------------------------------

# Where bytes stand in the memory of a process, and whether a core file would
# hold them.
sub found {
    my ($pid, $bytes) = @_;
    no warnings 'portable';
    my (@at, $place);
    open my $memory, '<:raw', "/proc/$pid/mem" or return;
    for my $line (split /\n/, slurp("/proc/$pid/smaps")) {
        if (my ($from, $to, $rights) = $line =~ /^([0-9a-f]+)-([0-9a-f]+) (\S+)/) {
            $place = undef;
            my $size = hex($to) - hex $from;
            next unless $rights =~ /^rw/ && $size < 1 << 26 && sysseek $memory, hex $from, 0;
            sysread($memory, my $content, $size);
            $place = {} if defined $content && index($content, $bytes) >= 0;
        }
        push @at, {dumped => $line !~ / dd\b/} if $place && $line =~ /^VmFlags:/;
    }
    return @at;
}

# the memory of another process is root's to read
if ($> == 0) {
    my ($worker) = $t->workers;
    my @keys = found($worker, $store->{dataplane}{key});
    is scalar(@keys), 1, 'the data-plane key is in one place in memory';
    ok !$keys[0]{dumped}, 'which no core file holds';
    is ask($t)->status, 200, 'a request';
    sleep 0.1;
    is scalar(my @left = found($_, secret('a'))), 0, 'the provider key that was sent is not in memory any more' for $t->workers;
}

# ---- on disk ----------------------------------------------------------------

$store->publish('workspace/default' => $store->sealed($config));
ok $store->applied($t, $store->{revision}, $generous_s), 'the set that is to be kept';
my $state = $store->dir . '/state';
ok wait_for($generous_s, sub { slurp("$state/head") eq $store->command('GET', 'relay:head') }), 'the head is on disk as it was published';
my $listed = join ' ', sort map { sha256_hex($_) } values %{$store->{documents}};
ok wait_for($generous_s, sub { $listed eq join ' ', sort map { m{([^/]+)$} } glob "$state/documents/*" }), 'its documents are, and no others';
my @stat = stat $state;
is sprintf('%o', $stat[2] & 07777), '700', 'the directory is for its owner alone';
unlike join('', map { slurp($_) } glob "$state/* $state/documents/*"), qr/secret-a-0123456789/, 'no secret on disk';

$store->stop;
is ask($t)->status, 200, 'the store goes away: known keys go on';
$t->stop;
{
    my $again = $store->nginx;
    $again->start;
    is ask($again)->status, 200, 'nginx starts and serves without the store' or diag $again->error_log;
    is $a->request(-1)->key, secret('a'), 'with the provider key';
    store_error(ask($again, key => 'never-seen-relay-key-00001'), 'a key that was never seen');
    $store->start;
    $store->put_documents;
    $store->key(name => 'app', secret => $app);
    $store->put_head($store->head);
    ok $store->applied($again, $store->{revision}, $generous_s), 'the store comes back: the worker says what it serves';
    $store->publish('workspace/default' => $store->sealed(relay_config(b => $b)));
    ok $store->applied($again, $store->{revision}, $generous_s), 'and takes what is new';
    is ask($again)->header('x-relay-host'), 'b', 'as is seen';
}

# ---- files and the store ----------------------------------------------------

{
    my $both = $store->nginx(files => 1);
    my $file = relay_config(a => $a);
    $_->{file} = delete $_->{m} || delete $_->{ka} || delete $_->{p} || delete $_->{default} for @$file{qw(models provider_keys pools policies)};
    $file->{pools}{file}{members} = ['file'];
    $file->{policies}{file}{pools} = ['file'];
    $file->{relay_keys}{k}{policy} = 'file';
    $both->relay($file);
    $both->start;
    $store->key(name => 'app', secret => $app);
    ok $store->applied($both, $store->{revision}, $generous_s), 'files and a store';
    is ask($both)->header('x-relay-host'), 'b', 'a key of the store';
    is $both->post('/v1/chat/completions', {%$body, model => 'file'})->header('x-relay-host'), 'a', 'a key of a file';
    is $a->request(-1)->key, secret('a'), 'with the provider key of the file';

    # a name of the files, once more
    my $sealed = $store->sealed(relay_config(b => $b));
    $sealed->{pools}{file} = {members => []};
    $store->publish('workspace/default' => $sealed);
    ok $store->refused($both, $store->{revision}, $generous_s), 'a name that a file has already: refused';
    like $store->reason($both), qr{^workspace/default:\d+:\d+: pools\.file: this name occurs twice}, 'with the place';
    is $both->post('/v1/chat/completions', {%$body, model => 'file'})->header('x-relay-host'), 'a', 'and what was served is served';
}

# ---- a worker that leaves ---------------------------------------------------

{
    $store->publish('workspace/default' => $store->sealed(relay_config(a => Relay::Mock->new(on => sub { my @parts = chat_stream(); {type => 'text/event-stream', chunked => 1, steps => [(map { [chunk => $_], [sleep => 5000 / @parts] } @parts), [chunk => '']]} }))));
    my $reloaded = $store->nginx;
    $reloaded->start;
    ok $store->applied($reloaded, $store->{revision}, $generous_s), 'a worker';
    my ($pid) = $reloaded->workers;
    my $c = $reloaded->client;
    $c->request(POST => '/v1/chat/completions', headers => auth('bearer', $app), body => {%$body, stream => \1});
    $c->read_until(qr/data:/);
    ok $reloaded->reload, 'is replaced under a stream';
    my ($new) = grep { $_ != $pid } $reloaded->workers;
    ok wait_for($generous_s, sub { my $n = $store->nodes; ($n->{'test-node/0'} || {})->{pid} == $new
        && ($n->{"test-node/0/$pid"} || {state => ''})->{state} eq 'leaving' }), 'the old one says that it leaves, in a field of its own';
    ok $c->response->clean, 'its stream ends whole';
}
$store->stop;

# ---- TLS, users, prefix -----------------------------------------------------

for my $way ({tls => 1}, {tcp => 1, prefix => 'other:'},
    {acl => ['user relay-worker on >worker-password ~relay:* &relay:changes +get +hget +hmget +hgetall +hset +subscribe +ping +hello +select'],
        user => 'relay-worker', password => 'worker-password'}) {
    my $name = $way->{tls} ? 'TLS' : $way->{acl} ? 'a user with few rights' : 'TCP and a prefix';
    my $other = Relay::Store->new(%$way);
    my $n = $other->nginx;
    $n->start;
    $other->publish('workspace/default' => $other->sealed($config));
    $other->key(name => 'app', secret => $app);
    ok $other->applied($n, 1, $generous_s), "$name: a head is taken";
    is ask($n)->status, 200, "$name: a key is found";
    heard($other, $n, "$name: changes", 'workspace/default' => $other->sealed(relay_config(b => $b)));
    unlike $n->error_log, qr/worker-password/, "$name: no password in the log";
    $other->stop;
}

# ---- the configuration itself -----------------------------------------------

{
    my $checked = Relay::Store->new;
    my $dir = $checked->dir;
    my %fault = (
        'relay_store ftp://localhost;' => qr/relay_store/,
        "relay_store unix:$dir/redis.sock;" => qr/"relay_store" needs "relay_store_verify_keys"/,
        "relay_store unix:$dir/redis.sock; relay_store_verify_keys $dir/absent;" => qr/absent" failed/,
        "relay_store unix:$dir/redis.sock; relay_store_verify_keys $dir/redis.conf;" => qr/redis\.conf:1: /,
        "relay_store unix:$dir/redis.sock; relay_store_verify_keys $dir/verify.keys; relay_node a/b;" => qr/"relay_node" "a\/b"/,
    );
    for my $text (sort keys %fault) {
        my $bad = Relay::Test->new(http => $text);
        $bad->relay({});
        my $result = $bad->check;
        ok !$result->{ok}, "refused: $text";
        like $result->{text}, $fault{$text}, 'with the reason';
    }
    my $owned = $checked->nginx(user => 'www-data');
    $owned->start;
    $checked->publish('workspace/default' => $checked->sealed($config));
    ok $checked->applied($owned, 1, $generous_s), 'workers of another user';
    is((stat "$dir/state")[4], scalar getpwnam('www-data'), 'own the state directory');
    ok wait_for($generous_s, sub { -s "$dir/state/head" }), 'and write there';
    my ($worker) = $owned->workers;
    unlike slurp("/proc/$worker/environ"), qr/data-1/, 'no key in the environment';
}

$t->done;
