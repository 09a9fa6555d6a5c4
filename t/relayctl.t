#!/usr/bin/perl
#
# relayctl as an operator meets it: keys that are minted and recognised,
# documents that are checked, the sample in config/, and what it says when
# something is wrong.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use File::Temp qw(tempdir);
use IPC::Open3 qw(open3);
use JSON::PP;
use Symbol qw(gensym);
use Test::More;

my $relayctl = $ENV{RELAYCTL} || 'build/relayctl';
my $dir      = tempdir('relayctl-XXXXXX', TMPDIR => 1, CLEANUP => 1);

-x $relayctl or BAIL_OUT("$relayctl does not exist; run: make build");

# relayctl(INPUT, ARGUMENT...): ($status, $stdout, $stderr)
sub relayctl {
    my ($input, @arguments) = @_;
    my $pid = open3(my $in, my $out, my $err = gensym, $relayctl, @arguments);

    local $SIG{PIPE} = 'IGNORE';
    print $in $input;
    close $in;
    local $/;
    my ($stdout, $stderr) = (scalar(<$out>) // '', scalar(<$err>) // '');
    waitpid $pid, 0;
    return ($? & 127 ? "signal $?" : $? >> 8, $stdout, $stderr);
}

sub document {
    my ($name, $text) = @_;
    open my $fh, '>', "$dir/$name" or die "$dir/$name: $!\n";
    print $fh $text;
    close $fh or die "$dir/$name: $!\n";
    return "$dir/$name";
}

sub slurp {
    my ($file) = @_;
    open my $fh, '<', $file or die "$file: $!\n";
    local $/;
    return scalar <$fh>;
}


# ---- help --------------------------------------------------------------------

for my $arguments ([], ['--help'], ['-h'], ['help'], [qw(key --help)], [qw(config --help)],
    [qw(catalog --help)])
{
    my ($status, $stdout, $stderr) = relayctl('', @$arguments);
    is($status, 0, "help: relayctl @$arguments");
    like($stdout, qr/relayctl key mint.*relayctl key digest.*relayctl config check.*relayctl catalog compile/s, 'names all');
    is($stderr, '', 'and complains of nothing');
}

for my $wrong (['mint'], ['key'], [qw(key make)], [qw(config)], [qw(config check)],
    [qw(config check --catalog)], ['catalog'], [qw(catalog compile)], [qw(catalog compile a b)],
    [qw(key digest x)], [qw(key mint --name)], [qw(key mint --nam x)], [qw(key mint x)],
    [qw(key mint --name), 'a b'], [qw(key mint --policy), ''], [qw(key mint --name), 'a"b'],
    [qw(key mint --name), 'n' x 65])
{
    my ($status, $stdout, $stderr) = relayctl('', @$wrong);
    is($status, 2, "a usage error: relayctl @$wrong");
    is($stdout, '', 'prints nothing');
    like($stderr, qr/^relayctl: \S.*\nTry: relayctl --help\n\z/, 'and says what is wrong');
}


# ---- key mint ----------------------------------------------------------------

my ($status, $stdout, $stderr) = relayctl('', qw(key mint));
is($status, 0, 'mints a key');
is($stderr, '', 'without complaint');
my ($key, $json) = split /\n/, $stdout, 2;
like($key, qr/^rly_[0-9A-Za-z]{46}\z/, 'line 1 is the key');
is_deeply(
    decode_json($json),
    { relay_keys => { dev => { policy => 'default', sha256 => sha256_hex($key) } } },
    'the rest is its document'
);

my %seen = map { (split /\n/, (relayctl('', qw(key mint)))[1])[0] => 1 } 1 .. 20;
is(keys %seen, 20, 'no key twice');

($status, $stdout) = relayctl('', qw(key mint --policy team/a --name ci.build-1));
is($status, 0, 'takes a name and a policy');
my ($entry) = values %{ decode_json((split /\n/, $stdout, 2)[1])->{relay_keys} };
is($entry->{policy}, 'team/a', 'the policy is in the document');
like($stdout, qr/"ci\.build-1": /, 'and so is the name');

my $umask = umask 0;
($status, $stdout, $stderr) = relayctl('', qw(key mint --document), "$dir/keys.json");
umask $umask;
is($status, 0, 'writes the document');
like($stdout, qr/^rly_\w{46}\n\z/, 'then prints the key alone');
is(sprintf('%04o', (stat "$dir/keys.json")[2] & 07777), '0600', 'for the owner only');
chomp($key = $stdout);
is(decode_json(slurp("$dir/keys.json"))->{relay_keys}{dev}{sha256}, sha256_hex($key), 'its digest');
unlike(slurp("$dir/keys.json"), qr/\Q$key\E/, 'and not the key');

my $before = slurp("$dir/keys.json");
($status, $stdout, $stderr) = relayctl('', qw(key mint --document), "$dir/keys.json");
is($status, 1, 'an existing document is not overwritten');
is($stdout, '', 'no key is shown then');
like($stderr, qr/^relayctl: \Q$dir\E\/keys\.json: File exists$/m, 'and says so');
is(slurp("$dir/keys.json"), $before, 'it stays as it was');

($status, $stdout, $stderr) = relayctl('', qw(key mint --document), "$dir/none/keys.json");
is($status, 1, 'a directory that does not exist');
like($stderr, qr/No such file/, 'is named');

SKIP: {
    skip '/dev/full does not exist', 2 if !-c '/dev/full';
    my $said = `'$relayctl' key mint 2>&1 >/dev/full`;
    is($? >> 8, 1, 'a full disk under standard output is an error');
    like($said, qr/cannot write to standard output/, 'and said');
}


# ---- key digest --------------------------------------------------------------

for my $end ('', "\n", "\r\n") {
    ($status, $stdout) = relayctl($key . $end, qw(key digest));
    is($status, 0, 'digest of a key');
    is($stdout, sha256_hex($key) . "\n", 'is its SHA-256');
}

($status, $stdout) = relayctl("sk-$key", qw(key digest));
is($stdout, sha256_hex($key) . "\n", 'an sk- in front is no part of the key');
($status, $stdout) = relayctl('any other key of an application', qw(key digest));
is($status, 1, 'spaces are in no key');
($status, $stdout) = relayctl('any-other-key-of-an-application', qw(key digest));
is($stdout, sha256_hex('any-other-key-of-an-application') . "\n", 'keys of another shape');

(my $mistyped = $key) =~ s/(.)\z/$1 eq 'x' ? 'y' : 'x'/e;
for my $bad ($mistyped, '', "\n", substr($key, 0, 49), 'short', 'x' x 257, 'x' x 5000) {
    ($status, $stdout, $stderr) = relayctl($bad, qw(key digest));
    is($status, 1, 'no key: ' . substr($bad, 0, 60));
    is($stdout, '', 'prints nothing');
    like($stderr, qr/^relayctl: this is no relay key: /, 'and says what one is');
    unlike($stderr, qr/\Q$bad\E/, 'without repeating it') if length $bad > 10;
}


# ---- config check ------------------------------------------------------------

my $sample = 'config/relay.json';
($status, $stdout, $stderr) = relayctl('', qw(config check), $sample);
is($status, 0, 'the sample is good') or diag $stderr;
is($stdout, "ok\n", 'says so');

# What the catalog knows of a host, the sample says, too.
my %paths = ('openai-chat' => '/chat/completions', 'openai-responses' => '/responses', 'openai-embeddings' => '/embeddings',
    'anthropic-messages' => '/messages');

sub urls {
    my ($host) = @_;
    my $formats = ref $host->{formats} eq 'ARRAY' ? {map { $_ => $paths{$_} } @{$host->{formats}}} : $host->{formats};
    return {map { my $path = $formats->{$_};
        $_ => ref $path ? ($path->{base_url} // $host->{base_url}) . $path->{path} : $host->{base_url} . $path } keys %$formats};
}

sub header_of { my ($auth, $format) = @_; return lc((($auth->{formats} || {})->{$format} || $auth)->{header} // 'authorization') }

my $hosts = JSON::PP->new->decode(slurp($sample))->{hosts};
for my $name (grep { !$hosts->{$_}{echo} } sort keys %$hosts) {
    my $listed = JSON::PP->new->decode(slurp("catalog/hosts/$name.json"))->{hosts}{$name};
    my ($said, $known) = (urls($hosts->{$name}), urls($listed));
    is_deeply($said, {map { $_ => $known->{$_} } keys %$said}, "the sample's $name is where the catalog has it");
    is_deeply([grep { !$said->{$_} } grep { $known->{$_} } sort(keys %paths), qw(gemini gemini-stream gemini-embed)], [], '... in all formats');
    is_deeply([map { header_of($hosts->{$name}{auth}, $_) } sort keys %$said], [map { header_of($listed->{auth}, $_) } sort keys %$said],
        '... with the key in the same header');
}

($status, $stdout, $stderr) = relayctl('', qw(config check), $sample, "$dir/keys.json");
is($stdout, "ok\n", 'also with the document of a minted key') or diag $stderr;

($status, $stdout, $stderr) = relayctl('', qw(config check), "$dir/keys.json");
is($status, 1, 'that document alone');
is($stderr, "$dir/keys.json:3:23: relay_keys.dev.policy: there is no policy \"default\"; "
        . "there are none\n", 'lacks its policy');

my $bad = document('bad.json', qq({\n  "hosts": {\n    "a": {"base_ulr": "https://a"}\n  }\n}\n));
($status, $stdout, $stderr) = relayctl('', qw(config check), $bad);
is($status, 1, 'a fault');
is($stdout, '', 'is no ok');
is($stderr, "$bad:3:11: hosts.a.base_ulr: there is no member \"base_ulr\"; did you mean "
        . "\"base_url\"?\n", 'has file, line, column, path, words');

my $broken = document('broken.json', "{\n  \"hosts\": {},\n}\n");
($status, $stdout, $stderr) = relayctl('', qw(config check), $broken);
is($stderr, "$broken:3:1: invalid JSON: unexpected }\n", 'so has broken JSON');

my $half = document('half.json', '{"policies": {"default": {}}}');
($status, $stdout, $stderr) = relayctl('', qw(config check), $half, $half);
is($stderr, "$half:1:15: policies.default: this name occurs twice: see $half, line 1\n",
    'a name that two documents have');

for my $file ("$dir/none.json", $dir) {
    ($status, $stdout, $stderr) = relayctl('', qw(config check), $sample, $file);
    is($status, 1, "not a document: $file");
    like($stderr, qr/^relayctl: \Q$file\E: (?:No such file|not a regular file)/, 'is named');
}


# ---- catalogs ----------------------------------------------------------------

mkdir "$dir/$_" or die "$dir/$_: $!\n" for qw(catalog catalog/hosts catalog/models catalog/none);
document('catalog/hosts/b.json', <<'JSON');
{
  "$schema": "../host.schema.json",
  "hosts": {
    "$comment": "two of them",
    "b": {"base_url": "https://b.example", "formats": ["openai-chat", "smoke"], "facts": {"x": "a \" b \\"}},
    "out": { "base_url": "https://{region}.example", "formats": { "openai-chat": "/c" } }
  }
}
JSON
document('catalog/hosts/a.json', '{"hosts": {"a": {"base_url": "https://a", "formats": ["openai-chat"]}}}');
document('catalog/models/z.json', '{"models": {"m": {"offers": [{"host": "b", "pricing": {"input": "0.10"}}]},'
    . ' "$odd": {"offers": [{"host": "out"}]}}}');
document('catalog/models/l.json', '{"models": {"\u006c": {"offers": [{"host": "a"}]}}}');
document('catalog/host.schema.json', '{"type": "object"}');
document('catalog/README.md', 'no document');
document('catalog/.hidden.json', 'no document');

my $own = document('own.json', '{"hosts": {"b": {"base_url": "https://own", "formats": ["openai-chat"]}},'
    . ' "provider_keys": {"k": {"host": "a", "value": "x"}}}');
for my $arguments (["$dir/catalog"], ["$dir/catalog", $own], ["$dir/catalog/hosts/a.json", $own],
    ["$dir/catalog/hosts", '--catalog', "$dir/catalog/models"])
{
    ($status, $stdout, $stderr) = relayctl('', qw(config check --catalog), @$arguments);
    is($status, 0, "a catalog: @$arguments") or diag $stderr;
    is($stdout, "ok\n", 'is good');
}
($status, $stdout) = relayctl('', qw(config check), $own, '--catalog', "$dir/catalog");
is($stdout, "ok\n", 'in either order');

my $dangling = document('dangling.json', '{"provider_keys": {"k": {"host": "out", "value": "x"}}}');
($status, $stdout, $stderr) = relayctl('', qw(config check --catalog), "$dir/catalog", $dangling);
is($status, 1, 'a host that was left out');
like($stderr, qr/^\Q$dangling\E:1:34: provider_keys\.k\.host: .*its base URL has a placeholder/, 'is named');
($status, $stdout, $stderr) = relayctl('', qw(config check), "$dir/catalog/hosts/b.json");
is($status, 1, 'a catalog is strict where it is no catalog');
($status, $stdout, $stderr) = relayctl('', qw(config check --catalog), $own);
like($stderr, qr/^\Q$own\E:1:\d+: provider_keys: there is no section/, 'a catalog has hosts and models');

($status, $stdout, $stderr) = relayctl('', qw(config check --catalog), "$dir/catalog/none");
is($status, 1, 'an empty folder');
like($stderr, qr/^relayctl: \Q$dir\E\/catalog\/none: there is no document/, 'is no catalog');
($status, $stdout, $stderr) = relayctl('', qw(config check --catalog), "$dir/nowhere");
like($stderr, qr/^relayctl: \Q$dir\E\/nowhere: No such file/, 'neither is a name of nothing');

($status, $stdout, $stderr) = relayctl('', qw(catalog compile), "$dir/catalog");
is($status, 0, 'a catalog is compiled') or diag $stderr;
is($stdout, '{"hosts":{"a":{"base_url":"https://a","formats":["openai-chat"]},'
    . '"b":{"base_url":"https://b.example","formats":["openai-chat","smoke"],"facts":{"x":"a \" b \\\\"}},'
    . '"out":{"base_url":"https://{region}.example","formats":{"openai-chat":"/c"}}},'
    . '"models":{"$odd":{"offers":[{"host":"out"}]},"l":{"offers":[{"host":"a"}]},'
    . '"m":{"offers":[{"host":"b","pricing":{"input":"0.10"}}]}}}' . "\n",
    'dense, sorted by name, nothing lost');
my $compiled = document('compiled.json', $stdout);
is((relayctl('', qw(catalog compile), $compiled))[1], $stdout, 'once more, it stays the same');
is((relayctl('', qw(config check --catalog), $compiled, $own))[1], "ok\n", 'and is a catalog itself');

document('catalog/models/zz.json', '{"models": {"m": {"offers": [{"host": "a"}]}}}');
($status, $stdout, $stderr) = relayctl('', qw(catalog compile), "$dir/catalog");
is($status, 1, 'a name that occurs twice');
is($stdout, '', 'compiles to nothing');
is($stderr, "$dir/catalog/models/zz.json:1:13: models.m: this name occurs twice: see "
    . "$dir/catalog/models/z.json, line 1\n", 'and is named');

SKIP: {
    skip '/dev/full does not exist', 1 if !-c '/dev/full';
    system "'$relayctl' catalog compile '$compiled' 2>/dev/null >/dev/full";
    is($? >> 8, 1, 'a full disk is an error');
}


# ---- CONFIG.md ---------------------------------------------------------------

my $manual = slurp('ngx_relay_module/CONFIG.md');
my %shown  = (hosts => {
    reseller => { base_url => 'https://r.example', formats => ['openai-chat'] },
    local    => { base_url => 'http://127.0.0.1', formats => ['openai-chat'] },
});
$shown{provider_keys}{spare} = { host => 'reseller', value => 'x' };

for my $block ($manual =~ /^```json\n(.*?)^```/msg) {
    my $document = decode_json($block);
    %{ $shown{$_} } = (%{ $shown{$_} || {} }, %{ $document->{$_} }) for keys %$document;
}

is_deeply([ sort keys %shown ], [qw(hosts models policies pools provider_keys relay_keys)],
    'the manual has an example for each section');
($status, $stdout, $stderr) = relayctl('', qw(config check), document('shown.json', encode_json(\%shown)));
is($stdout, "ok\n", 'and together they are good') or diag $stderr;

# The members that are documented are those that are known: what an object takes
# is what its fault lists.
my %objects = (
    'hosts'              => '{"hosts": {"a": {"zzzzzzzz": 1}}}',
    'hosts auth.'        => '{"hosts": {"a": {"auth": {"zzzzzzzz": 1}}}}',
    'hosts tls.'         => '{"hosts": {"a": {"tls": {"zzzzzzzz": 1}}}}',
    'timeouts'           => '{"policies": {"a": {"timeouts": {"zzzzzzzz": 1}}}}',
    'models'             => '{"models": {"a": {"zzzzzzzz": 1}}}',
    'models offers[].'   => '{"models": {"a": {"offers": [{"zzzzzzzz": 1}]}}}',
    'provider_keys'      => '{"provider_keys": {"a": {"zzzzzzzz": 1}}}',
    'pools'              => '{"pools": {"a": {"zzzzzzzz": 1}}}',
    'pools members[].'   => '{"pools": {"a": {"members": [{"zzzzzzzz": 1}]}}}',
    'policies'           => '{"policies": {"a": {"zzzzzzzz": 1}}}',
    'relay_keys'         => '{"relay_keys": {"a": {"zzzzzzzz": 1}}}',
);

for my $object (sort keys %objects) {
    my ($title, $inner) = split / /, "$object ", -1;
    my ($section) = $manual =~ /^##+ \Q$title\E\n(.*?)(?=^##|\z)/ms;
    my @documented = $section =~ /^\| `\Q$inner\E([a-z_0-9]+)` \| /mg;
    push @documented, 'tls' if $object eq 'hosts'; # documented by its members

    ($status, $stdout, $stderr) = relayctl('', qw(config check), document('probe.json', $objects{$object}));
    my ($known) = $stderr =~ /known: (.*)$/m;
    is_deeply([ sort @documented ], [ sort split /, /, $known // '' ], "members of $object");
}


# ---- what the sample promises --------------------------------------------------

my $config = decode_json(slurp($sample));
is($config->{relay_keys}, undef, 'the sample has no relay keys');
ok($config->{hosts}{relay}{echo}, 'it has the built-in host');
is_deeply($config->{models}{'relay/echo'}{offers}, [ { host => 'relay' } ], 'and its model');

my %keys = %{ $config->{provider_keys} };
is_deeply([ sort map { $_->{host} } values %keys ], [ sort grep { $_ ne 'relay' } keys %{ $config->{hosts} } ],
    'each other host has a provider key');
is_deeply([ sort @{ $config->{pools}{default}{members} } ], [ sort keys %keys ],
    'all are in the pool');

for my $name (sort keys %keys) {
    my ($value, $host) = ($keys{$name}{value}, $config->{hosts}{ $keys{$name}{host} });
    ok($value =~ /^env:[A-Z0-9_]+\z/ && $keys{$name}{optional} || $value eq '' && $host->{local},
        "$name: an optional reference, or a local host without credential");
}

# Which hosts serve a plain name by pattern.
sub served {
    my ($model) = @_;
    my @found;
    for my $name (sort keys %{ $config->{hosts} }) {
        for my $glob (@{ $config->{hosts}{$name}{serves} || [] }) {
            my $pattern = join '.*', map { quotemeta } split /\*/, $glob, -1;
            push @found, $name if $model =~ /^$pattern\z/;
        }
    }
    return "@found";
}

my %expected = (
    'gpt-6-luna'                        => 'openai',
    'gpt-4o-mini'                       => 'openai',
    'o3-pro'                            => 'openai',
    'text-embedding-3-small'            => 'openai',
    'text-embedding-v4'                 => 'alibaba',
    'ft:gpt-4o-mini:team::id'           => 'openai',
    'claude-sonnet-5-5'                 => 'anthropic',
    'claude-3-5-haiku-latest'           => 'anthropic',
    'gemini-3.8-flash'                  => 'gemini',
    'grok-4.7'                          => 'xai',
    'mistral-large-latest'              => 'mistral',
    'codestral-latest'                  => 'mistral',
    'deepseek-v4-pro'                   => 'deepseek',
    'command-a-03-2025'                 => 'cohere',
    'kimi-k3'                           => 'moonshot',
    'glm-5.3'                           => 'zai',
    'MiniMax-M3'                        => 'minimax',
    'qwen3.8-max'                       => 'alibaba',
    'qwen/qwen3.8-max'                  => 'openrouter',
    'anthropic/claude-sonnet-4.6'       => 'openrouter',
    'openai/gpt-oss-120b'               => 'openrouter',
    'accounts/fireworks/models/kimi-k3' => 'fireworks',
    'perplexity/sonar'                  => 'perplexity',
    'llama-3.3-70b-versatile'           => '',
    'llama3.2:3b'                       => '',
    'llama3.2:3b@ollama'                => 'ollama',
    'llama-3.3-70b-versatile@groq'      => 'groq',
);

is(served($_), $expected{$_}, "$_ is served by " . ($expected{$_} || 'none')) for sort keys %expected;
is(scalar(split ' ', served($_)), 1, "$_ has one host")
    for grep { !/^\$/ && !$config->{models}{$_}{offers} } sort keys %{ $config->{models} };

done_testing;
