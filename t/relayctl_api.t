# relayctl against a live relayd: contexts, every command, every output.

use lib 't/lib';
use CPAN::Meta::YAML;
use JSON::PP ();
use Relay::Admin;
use Relay::Mock;

my $mock = Relay::Mock->new(on => sub { {status => $_[0]->flag('status') || 200, body => {data => []}} });
my $admin = Relay::Admin->begin;
$admin->scene;
my $url = $admin->tcp_url;
my ($OK, $REFUSED, $USAGE) = (0, 1, 2);
my $file = $admin->dir . '/document.json';

sub run { my ($input, @words) = @_; return $admin->relayctl($input, @words) }

# Runs it with the context; dies of nothing, says what it printed.
sub good {
    my ($name, @words) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($status, $out, $err) = run('', @words);
    ok $status == $OK && $err eq '', $name or diag "status $status\n$out$err";
    return $out;
}
sub bad {
    my ($name, $want, $says, @words) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($status, $out, $err) = run('', @words);
    ok $status == $want && $out eq '' && $err =~ /^relayctl: / && $err =~ $says, $name or diag "status $status\n$out$err";
}
sub json { JSON::PP->new->utf8->decode($_[0]) }
sub yaml { CPAN::Meta::YAML->read_string($_[0])->[0] }
sub spit { my ($text) = @_; open my $fh, '>', $file or die $!; print {$fh} $text; close $fh; return $file }

subtest 'contexts' => sub {
    bad 'none yet', $USAGE, qr/no context.*RELAY_URL/s, 'list', 'pools';
    my ($status, $out, $err) = run($admin->token . "\n", qw(context set here --url), "$url/api/v1/");
    is $status, $OK, 'set' or diag $err;
    my ($path) = glob $admin->dir . '/.config/relay/contexts.json';
    is sprintf('%04o', (stat $path)[2] & 07777), '0600', 'for its owner only';
    run("other\n", qw(context set there --url http://127.0.0.1:1 --workspace team));
    like good('list', qw(context list)), qr/^  here +\Q$url\E\S* \(default\)\n\* there +\S+ \(team\)\n$/m, 'both, the last one is current';
    unlike good('list', qw(context list)), qr/rlt_/, 'no token';
    bad 'nobody there', $REFUSED, qr/127\.0\.0\.1:1/, 'list', 'pools';
    good('use', qw(context use here));
    like good('use it', 'list', 'pools'), qr/^name +strategy +members$/m, 'an answer';
    good('remove', qw(context remove there));
    bad 'no such context', $REFUSED, qr/there is no context: there/, qw(context use there);
    bad 'no url', $USAGE, qr/--url/, qw(context set x);
    bad 'no token', $REFUSED, qr/standard input/, qw(context set x --url http://x);
    local $admin->{relayctl_env} = {RELAY_URL => $url, RELAY_TOKEN => 'rlt_' . 'a' x 43};
    bad 'variables go first: a token that is none', $REFUSED, qr/Authorization: Bearer/, 'list', 'pools';
    local $admin->{relayctl_env} = {RELAY_WORKSPACE => 'nowhere'};
    bad 'another workspace', $REFUSED, qr/There is no workspace "nowhere"/, 'list', 'pools';
};

subtest 'list' => sub {
    for my $kind (qw(hosts models provider-keys pools policies relay-keys api-tokens events nodes workspaces)) {
        my $table = good("$kind: table", 'list', $kind);
        my $json = json good("$kind: json", 'list', $kind, '-o', 'json');
        my $rows = () = $table =~ /\n/g;
        is $rows, 1 + @$json, '... the same rows' if $kind ne 'events';
        next if $kind !~ /^(?:pools|relay-keys)$/;
        is_deeply yaml(good("$kind: yaml", 'list', $kind, '-o', 'yaml'))->[0]{name}, $json->[0]{name}, '... in YAML';
    }
    cmp_ok scalar @{json good('more than a page', qw(list models -o json))}, '>', 700, 'all models';
    like good('singular', 'list', 'pool'), qr/^main +weighted +\[/m, 'a row';
    like good('singular', 'list', 'policy'), qr/^team /m, 'of policies, too';
    bad 'no such kind', $USAGE, qr/there is no kind: cats/, 'list', 'cats';
    bad 'no kind', $USAGE, qr/usage: list KIND/, 'list';
    bad 'no such output', $USAGE, qr/cannot read: xml/, 'list', 'pools', '-o', 'xml';
    bad 'no such option', $USAGE, qr/cannot read: --what/, 'list', 'pools', '--what';
    bad 'no such command', $USAGE, qr/there is no such command/, 'frobnicate';
};

subtest 'get, create, edit, delete' => sub {
    my $pool = json good('json', qw(get pools main -o json));
    is $pool->{name}, 'main', 'one';
    is yaml(good('yaml', qw(get pools main -o yaml)))->{members}[0]{key}, 'key-a', '... in YAML';
    like good('as people read it', qw(get pools main)), qr/^name: "main"$/m, 'one, without an option';
    is json(good('a name that needs escapes', qw(get models own/model -o json)))->{name}, 'own/model', 'a slash in a name';
    bad 'none', $REFUSED, qr/There is no pool "none"/, qw(get pools none);

    my $made = json good('create', qw(create pools second strategy=priority), 'members=[{"key": "key-a", "weight": 3}]', 'description=of two words', qw(-o json));
    is_deeply [@{$made}{qw(name strategy description)}, $made->{members}[0]{weight}], ['second', 'priority', 'of two words', 3], 'members are JSON or texts';
    bad 'a fault', $REFUSED, qr/^  \/members\/0\/key: there is no provider_key "none"$/m, qw(create pools third), 'members=[{"key": "none"}]';
    spit('{"members": [], "description": "of a file"}');
    is json(good('create -f', qw(create pools third -f), $file, 'strategy=priority', qw(-o json)))->{description}, 'of a file', 'from a file, with a member on top';
    spit('{"members": [');
    bad 'a broken file', $REFUSED, qr/document\.json: .*line 1/, qw(create pools x -f), $file;
    bad 'no file', $REFUSED, qr/none\.json/, qw(create pools x -f /none.json);
    is json(good('edit', qw(edit pools third strategy=weighted description=null -o json)))->{strategy}, 'weighted', 'changed';
    ok !exists json(good('get', qw(get pools third -o json)))->{description}, '... null removes';
    bad 'a member that is none', $REFUSED, qr/\/strateg: there is no such member; did you mean "strategy"/, qw(edit pools third strateg=x);
    bad 'nothing to change', $USAGE, qr/nothing to change/, qw(edit pools third);
    bad 'in use', $REFUSED, qr/in use by policy "team"/, qw(delete pools main);
    is good('delete', qw(delete pools third)), '', 'deleted';
    bad 'gone', $REFUSED, qr/There is no pool/, qw(get pools third);
    good('delete', qw(delete pools second));
};

subtest 'keys' => sub {
    my $minted = good('mint', qw(key mint fresh --policy team));
    like $minted, qr/^rly_\w{46}\n$/, 'the key alone';
    $admin->secret($minted =~ s/\n//r);
    is $admin->post($admin->path('relay-keys:introspect'), {key => $minted =~ s/\n//r})->json->{relay_key}{name}, 'fresh', 'it is good';
    like good('tags', qw(key mint tagged --policy team), 'tags={"a": "b"}'), qr/^rly_/, 'with members';
    is_deeply json(good('get', qw(get relay-keys tagged -o json)))->{tags}, {a => 'b'}, '... stored';
    bad 'no such policy', $REFUSED, qr/policy/, qw(key mint x --policy none);

    my $rotated = json good('rotate', qw(rotate relay-keys fresh --overlap 12h -o json));
    like $rotated->{key}, qr/^rly_/, 'a new one';
    $admin->secret($rotated->{key});
    like $rotated->{previous_until}, qr/^20/, 'with an overlap';
    bad 'no time', $USAGE, qr/--overlap/, qw(rotate relay-keys fresh --overlap soon);
    is json(good('revoke', qw(revoke relay-keys fresh -o json)))->{state}, 'revoked', 'revoked';
    is json(good('rotate', qw(rotate provider-keys key-a value=sk-rotated-by-ctl -o json)))->{secret_version}, 2, 'a provider key';
    my $token = json good('a token', qw(create api-tokens ctl role=viewer -o json));
    like $token->{token}, qr/^rlt_/, 'shown once';
    $admin->secret($token->{token});
    like good('revoke', qw(revoke api-tokens ctl)), qr/^revoked_at: "20/m, 'revoked';

    $admin->make(hosts => {name => 'mock', base_url => $mock->url, formats => ['openai-chat'], local => JSON::PP::true});
    good('create', qw(create provider-keys tested host=mock value=sk-tested-by-ctl));
    is json(good('test', qw(test provider-keys tested -o json)))->{outcome}, 'accepted', 'a test';
    $mock->flag(status => 401);
    like good('test', qw(test provider-keys tested)), qr/^message: "The host refused the key/m, '... in words';
};

subtest 'snippets' => sub {
    like good('where nothing is said', qw(key mint s0 --policy team --snippet curl)), qr{^curl http://127\.0\.0\.1:8080/v1/}, 'the one of the configuration';
    $admin->patch('/api/v1/settings', {public_url => 'https://relay.example/'}, 'If-Match' => '*');
    my %tools = ('claude-code' => qr{^export ANTHROPIC_BASE_URL=https://relay\.example\nexport ANTHROPIC_AUTH_TOKEN=rly_\w{46}\n}, codex => qr{base_url = "https://relay\.example/v1"},
        'openai-python' => qr{base_url="https://relay\.example/v1", api_key="rly_}, 'openai-node' => qr{baseURL: "https://relay\.example/v1", apiKey: "rly_},
        'anthropic-python' => qr{base_url="https://relay\.example", }, 'anthropic-node' => qr{baseURL: "https://relay\.example", },
        'genai-python' => qr[http_options=\{"base_url": "https://relay\.example/gemini"\}], 'genai-node' => qr[httpOptions: \{baseUrl: "https://relay\.example/gemini"\}], curl => qr{^curl https://relay\.example/v1/chat});
    for my $tool (sort keys %tools) {
        my $text = good($tool, 'key', 'mint', "s-$tool", '--policy', 'team', '--snippet', $tool);
        like $text, $tools{$tool}, '... with the public URL';
        like $text, qr/rly_\w{46}/, '... and the key';
        unlike $text, qr/127\.0\.0\.1|\$[UK]/, '... and nothing else';
    }
    my $rows = $admin->rows;
    bad 'no such tool', $USAGE, qr/--snippet: emacs/, qw(key mint s-none --policy team --snippet emacs);
    is $admin->rows, $rows, '... no key was made';
};

subtest 'export, diff, apply' => sub {
    my $export = good('export', 'export');
    spit($export);
    is good('diff', 'diff', '-f', $file), "nothing to change\n", 'nothing';
    is good('apply', 'apply', '-f', $file, '--prune'), "nothing to change\n", 'nothing';
    my $document = json $export;
    $document->{pools}{main}{strategy} = 'priority';
    $document->{relay_keys}{minted} = {policy => 'team'};
    delete $document->{relay_keys}{tagged};
    spit(JSON::PP->new->encode($document));
    is good('diff', 'diff', '-f', $file, '--prune'), "~ pools main\n+ relay_keys minted\n- relay_keys tagged\n", 'what would be done';
    my $before = $admin->stored;
    is scalar @{json(good('diff', 'diff', '-f', $file, '-o', 'json'))->{steps}}, 2, '... as JSON';
    is $admin->stored, $before, '... and was not';
    like good('apply', 'apply', '-f', $file, '--prune'), qr/^~ pools main\n\+ relay_keys minted\n- relay_keys tagged\nrelay key minted: rly_\w{46}\n$/, 'done';
    $document->{pools}{main}{members} = [{key => 'none'}];
    spit(JSON::PP->new->encode($document));
    bad 'a fault', $REFUSED, qr/^  \/pools\/main\/members\/0\/key: /m, 'apply', '-f', $file;
    my ($status, $out, $err) = run($export, 'diff', '-f', '-');
    like $out, qr/^~ pools main$/m, 'from standard input';
    bad 'no file', $USAGE, qr/-f FILE/, 'apply';
    is yaml(good('yaml', 'export', '-o', 'yaml'))->{pools}{main}{strategy}, 'priority', 'the export in YAML';
};

subtest 'why, doctor' => sub {
    my $why = good('why', qw(why app own/model));
    like $why, qr/^It would be tried at 1 candidate\.\nhost +provider_key +upstream_model +format\nown-host +key-a +upstream +openai-chat\n  pool main: key-a takes part/, 'which, and why';
    is json(good('why', qw(why app own/model -o json)))->{allowed}, JSON::PP::true, '... as JSON';
    like good('why', qw(why app none)), qr/none/, 'no such model';
    like good('why', qw(why app own/model --format anthropic-messages)), qr/^own-host +key-a +upstream +openai-chat\n/m,
        'a format that is translated into that of the host';
    like good('why', qw(why app own/model --format openai-embeddings)), qr/openai-embeddings/, 'one that is not';
    bad 'no such key', $REFUSED, qr/\/relay_key: there is no relay_key/, qw(why none x);

    $admin->redis('HSET', 'relay:nodes', 'a/0', $admin->encode({node => 'a', worker => 0, pid => 1, revision => 5, state => 'applied', at => int time}));
    my $well = good('doctor', 'doctor');
    like $well, qr/^ok +relayd answers\nok +provider key key-a is ready\n.*^ok +worker 0 of a serves revision 5\n$/ms, 'all is well';
    unlike $well, qr/^BAD/m, '... all';
    good('a key that leads nowhere', qw(create provider-keys nowhere host=mock value_from=env:NO_SUCH_VARIABLE));
    $admin->redis('HSET', 'relay:nodes', 'a/0', $admin->encode({node => 'a', worker => 0, pid => 1, revision => 4, state => 'refused', refused_revision => 5, reason => 'a bad day', at => int time}));
    my ($status, $out) = run('', 'doctor');
    is $status, $REFUSED, 'not all is well';
    like $out, qr/^BAD +provider key nowhere is unresolved: .*NO_SUCH_VARIABLE/m, 'a key';
    like $out, qr/^BAD +worker 0 of a serves revision 4: a bad day$/m, 'a worker';
    $admin->redis('DEL', 'relay:nodes');
    like((run('', 'doctor'))[1], qr/^BAD +workers report to the store: is nginx running/m, 'no workers');
};

subtest 'completion' => sub {
    for my $shell (qw(bash zsh fish)) {
        my $script = good($shell, 'completion', $shell);
        like $script, qr/\b$_\b/, "... has $_" for qw(list rotate doctor provider-keys relay-keys);
    }
    bad 'no such shell', $USAGE, qr/bash, zsh or fish/, 'completion', 'tcsh';
    open my $bash, '-|', 'bash', '-c', 'eval "$(build/relayctl completion bash)"; COMP_WORDS=(relayctl list po); COMP_CWORD=2; _relayctl; echo "${COMPREPLY[@]}"' or die $!;
    is join('', <$bash>), "pools policies\n", 'bash completes a kind';
    close $bash;
    my $help = good('help', '--help');
    like $help, qr/^  relayctl $_/m, "help has $_" for qw(context list get create edit delete rotate revoke test export why doctor completion), 'key mint';
};

$admin->done;
