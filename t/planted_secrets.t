#!/usr/bin/perl
#
# Secrets of every kind are planted in the whole product, traffic runs that
# succeeds and fails, and then none of them is found where it must not be: in the
# database, the store, logs, files, and images of the processes.

use lib 't/lib';
use Relay::Box;

use IO::Socket::INET;
use MIME::Base64 qw(decode_base64url encode_base64url);
use POSIX ();
use Relay::Mock;
use Relay::Planted;
use Relay::Test ();

sub random { encode_base64url(join '', map { chr int rand 256 } 1 .. $_[0]) }

my %value = map { $_ => "sk-$_-" . random(24) } qw(api before env file vault refused);
my $vault_token = 'hvs.' . random(24);

# Vault's KV store, version 2, in miniature.
my $vault = Relay::Mock->new(on => sub {
    my ($req) = @_;
    return {status => 403, body => {errors => ['permission denied']}} if ($req->header('x-vault-token') || '') ne $vault_token;
    return {status => 404, body => {errors => []}} if $req->path ne '/v1/secret/data/team/llm';
    return {status => 200, body => {data => {data => {key => $value{vault}}, metadata => {version => 1}}}};
});

# A provider that may repeat what it was given, as some do when it is wrong. What it
# says is in buffers of nginx then: not of the keys that are looked for in memory.
my $mock = Relay::Mock->new(on => sub {
    my ($req) = @_;
    my $given = $req->header('authorization') || '';
    my $asked = eval { $req->json->{messages}[0]{content} } || '';
    $given =~ s/sk-.*/a key/ if $given !~ /sk-file-/ && $asked =~ /^\d+$/;
    return {status => 401, body => {error => {message => "Incorrect API key provided: $given"}}} if $asked eq '401';
    return {status => 500, headers => ['X-Debug', $given], body => {error => {message => $given}}} if $asked eq '500';
    return 'reset' if $asked eq 'reset';
    return sse([qq(data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n)], end => 'reset') if $asked eq 'cut';
    return {status => 200, body => {id => 'x', object => 'chat.completion', choices => [{index => 0,
        finish_reason => 'stop', message => {role => 'assistant', content => "with " . length $given}}],
        usage => {prompt_tokens => 1, completion_tokens => 1, total_tokens => 2}}};
});

my $box = Relay::Box->new(allow => [qr/connect\(\) to \S+ failed/]);
my $file = $box->write($box->dir . '/provider.key', "$value{file}\n");
chmod 0644, $file;
$box->{env} = {PLANTED_PROVIDER_KEY => $value{env}, RELAY_VAULT_ADDR => $vault->url, RELAY_VAULT_TOKEN => $vault_token};
$box->start;

my %token = (setup => $box->setup_token, first => $box->set_up);
$token{other} = $box->make(POST => '/api/v1/api-tokens', {name => 'other', role => 'viewer'})->{token};

my %relay_key = (first => $box->key, api => $box->serve($mock, 'api', value => $value{before}));
$box->make(POST => 'provider-keys/api:rotate', {value => $value{api}, overlap_s => 3600}, 'If-Match' => '*');
$relay_key{$_->[0]} = $box->serve($mock, $_->[0], value_from => $_->[1])
    for ['env', 'env:PLANTED_PROVIDER_KEY'], ['file', "file:$file"], ['vault', 'vault:secret/team/llm#key'];
$relay_key{rotated} = $box->make(POST => 'relay-keys/api:rotate', {overlap_s => 3600}, 'If-Match' => '*')->{key};
$relay_key{unknown} = 'unknown-' . random(30) =~ tr{_-}{ab}r;

# What carries a new value through nginx is not what serves it: workers are renewed.
my @workers = $box->workers;
kill HUP => $box->part('nginx');
ok within(15, sub { my @now = $box->workers; @now && !grep { my $old = $_; grep { $_ == $old } @now } @workers }), 'fresh workers';
ok within(10, sub { $box->chat($relay_key{api}, 'api')->{status} == 200 }), 'serve';


# ---- traffic -------------------------------------------------------------------------

for my $name (qw(api env file vault)) {
    my $res = $box->chat($relay_key{$name}, $name);
    is $res->{status}, 200, "$name: a request" or diag $res->{content};
    is $res->{json}{choices}[0]{message}{content}, 'with ' . length("Bearer $value{$name}"), '... with its provider key';
    for my $fault (qw(401 500 reset cut)) {
        $res = $box->chat($relay_key{$name}, $name, stream => JSON::PP::true, messages => [{role => 'user', content => $fault}]);
        isnt $res->{content}, '', "... $fault";
        unlike $res->{content} . join('', map { ref ? @$_ : $_ } values %{$res->{headers}}), qr/\Q$value{$name}\E/,
            '... whose answer does not show it' if $fault ne '500';
    }
    my $tested = $box->api(POST => "provider-keys/$name:test");
    is $tested->{status}, 200, '... is tested' or diag $tested->{content};
    unlike $tested->{content}, qr/\Q$value{$name}\E/, '... and not shown';
}
is $box->chat($relay_key{rotated}, 'api')->{status}, 200, 'a rotated relay key';
is $box->chat($relay_key{unknown}, 'api')->{status}, 401, 'an unknown one';
is $box->chat($relay_key{api}, 'none')->{status}, 404, 'an unknown model';
is $box->ask(POST => $box->url . '/v1/chat/completions', '{"model":', {Authorization => "Bearer $relay_key{api}"})->{status},
    400, 'broken JSON';
$box->ask(POST => $box->url . '/v1/messages', {model => 'api'}, {'x-api-key' => $relay_key{api}});
is $box->api(GET => 'provider-keys', undef, Authorization => "Bearer $relay_key{api}")->{status}, 401, 'a relay key is no token';
is $box->api(POST => 'provider-keys', {name => 'x', host => 'none', value => $value{refused}})->{status}, 422, 'a refused value'
    or diag 'status';
is $box->api(POST => 'provider-keys', qq({"name":"x","value":"$value{refused}",))->{status}, 400, 'a broken document';
is $box->chat($token{first}, 'api')->{status}, 401, 'a token is no relay key';


# ---- and then ------------------------------------------------------------------------

my %ring = map { $_ => (split ' ', slurp($box->home . "/keys/$_.keys"))[1] } qw(master dataplane signing);
my %password = map { $_ => slurp($box->home . "/keys/${_}_password") =~ s/\n//r } qw(redis postgres);
my $planted = Relay::Planted->new((map { ("value $_" => $value{$_}) } keys %value),
    (map { ("token $_" => $token{$_}) } keys %token), (map { ("relay key $_" => $relay_key{$_}) } keys %relay_key),
    (map { ("ring $_" => $ring{$_}) } keys %ring), (map { ("password $_" => $password{$_}) } keys %password),
    'vault token' => $vault_token);
cmp_ok scalar(my @names = $planted->names), '>=', 20, 'secrets were planted';
is join(', ', $planted->in("x" . encode_base64url("abc$value{api}") . 'y')), 'value api (base64 at 0), value api (base64+/ at 0)',
    'and would be found';

is join(', ', $planted->in($box->dump_database)), '', 'none in a dump of the database';
my @keys = split /\n/, $box->redis('--scan');
cmp_ok scalar @keys, '>', 10, 'the store has something';
is join(', ', map { my $key = $_; map { "$key: $_" } $planted->in($box->redis('DUMP', $key)) } @keys), '', 'none in the store';
is $box->redis('SAVE'), 'OK', 'which is saved';

# The three that are meant to hold them, beside the folder of keys.
my %may = ('relay_key' => qr/^relay key first /, setup_token => qr/^token setup /, 'redis.conf' => qr/^password redis /);
my ($files, @found) = (0);
for my $path (sort split /\0/, `find '${\$box->home}' '${\$box->state}' -type f -not -path '${\$box->home}/keys/*' -print0`) {
    my ($name) = $path =~ m{^\Q${\$box->home}\E/(.*)};
    my $may = $may{$name || ''} || qr/^\b\B/;
    $files++;
    push @found, map { "$path: $_" } grep { !/$may/ } $planted->in_file($path);
}
cmp_ok $files, '>', 500, 'files were read';
is join(', ', @found), '', 'none in any other file: logs, dump.rdb, documents on disk, the cluster';

SKIP: {
    skip 'not root: the memory of others cannot be read', 3 if $> != 0;

    # libpq keeps its password for a connection that is made anew. AddressSanitizer's
    # runtime keeps a copy of the environment: there, only the rest can be asked for.
    my %kept = map { $_ => 1 } 'password postgres',
        $ENV{ASAN_OPTIONS} ? ('password redis', 'ring dataplane', 'ring master', 'ring signing', 'token setup',
            'value env', 'vault token') : ();
    is join(', ', $planted->in_memory($box->part('relayd'), grep { !$kept{$_} } $planted->names)), '',
        'none in an image of relayd';
    for my $worker ($box->workers) {
        # What callers send is in buffers of nginx; what opens the store, it has to know.
        is join(', ', $planted->in_memory($worker, grep { /^(?:value (?!file|refused)|ring|vault|password postgres)/ } $planted->names)), '',
            'provider keys in a worker only sealed';
    }
}

$box->done;
