# "This key asks for this model now: which candidates, and why?"

use lib 't/lib';
use JSON::PP ();
use Relay::Admin;

my $admin = Relay::Admin->begin;
my $scene = $admin->scene;
my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my @any = ('If-Match' => '*');

sub simulate { my ($of, $model, %o) = @_; $admin->post($admin->path('policies:simulate'), {%$of, model => $model, %o}) }
sub names { join ' ', map { "$_->{provider_key}\@$_->{host}:$_->{upstream_model}" } @{$_[0]{candidates}} }

subtest 'a key that may' => sub {
    my $res = simulate({relay_key => 'app'}, 'own/model');
    is $res->status, 200, 'answered' or diag $res->body;
    my $answer = $res->json;
    is $answer->{allowed}, $true, 'allowed';
    is $answer->{verdict}, 'It would be tried at 1 candidate.', 'the verdict';
    is $answer->{code}, undef, 'no error';
    is $answer->{policy}, 'team', 'the policy';
    is_deeply $answer->{candidates}, [{host => 'own-host', provider_key => 'key-a', model => 'own/model', upstream_model => 'upstream', format => 'openai-chat'}],
        'the candidate';
    like $answer->{reasons}[0], qr/^pool main: key-a takes part: own-host as "upstream", priority 0, weight 2$/, 'why';
    is_deeply simulate({relay_key => $scene->{'relay-keys'}{id}}, 'own/model')->json, $answer, 'by id';
    is_deeply simulate({policy => 'team'}, 'own-alias')->json->{candidates}, $answer->{candidates}, 'by policy and alias';
    is names(simulate({policy => 'team'}, 'own/model@own-host')->json), 'key-a@own-host:upstream', 'at a host';
    is simulate({policy => 'team'}, 'relay/echo')->json->{candidates}[0]{provider_key}, undef, 'the built-in model takes no key';
};

subtest 'several' => sub {
    $admin->make('provider-keys' => {name => "key-$_", host => 'own-host', value => $admin->secret("sk-simulate-$_-012345")}) for 'b', 'c';
    $admin->patch($admin->path('pools/main'), {members => [{key => 'key-b', priority => 1}, {key => 'key-a'}, {key => 'key-c', priority => 2}]}, @any);
    is names(simulate({relay_key => 'app'}, 'own/model')->json), 'key-a@own-host:upstream key-b@own-host:upstream key-c@own-host:upstream', 'by priority';
    $admin->patch($admin->path('pools/main'), {strategy => 'priority'}, @any);
    is names(simulate({relay_key => 'app'}, 'own/model')->json), 'key-b@own-host:upstream key-a@own-host:upstream key-c@own-host:upstream', 'in their order';
    $admin->patch($admin->path('policies/team'), {max_attempts => 2}, @any);
    cmp_ok scalar @{simulate({relay_key => 'app'}, 'own/model')->json->{reasons}}, '>=', 3, 'a reason for each';
    is $admin->post($admin->path('provider-keys/key-b:disable'), undef, @any)->status, 200, 'one is disabled';
    my $answer = simulate({relay_key => 'app'}, 'own/model')->json;
    is names($answer), 'key-a@own-host:upstream key-c@own-host:upstream', '... and takes no part';
    like join("\n", @{$answer->{reasons}}), qr/^provider_key key-b is left out: it is disabled$/m, '... why';
    $admin->patch($admin->path('hosts/own-host'), {base_url => 'http://127.0.0.2:9/v1'}, @any);
    $answer = simulate({relay_key => 'app'}, 'own/model')->json;
    is $answer->{allowed}, $false, 'their host moved';
    is $answer->{code}, 'model_not_found', '... no key reaches the model';
    like join("\n", @{$answer->{reasons}}), qr/key-a is left out: it was given for .*127\.0\.0\.1:9, and its host is at .*127\.0\.0\.2:9 now/, '... why';
    $admin->patch($admin->path('hosts/own-host'), {base_url => 'http://127.0.0.1:9/v1'}, @any);
};

subtest 'another format' => sub {
    my $answer = simulate({relay_key => 'app'}, 'own/model', format => 'anthropic-messages')->json;
    is $answer->{allowed}, $true, 'a request that can be translated';
    is $answer->{candidates}[0]{format}, 'openai-chat', '... would be, into the format of the host';
};

subtest 'what is refused' => sub {
    my %refused = (model_not_found => ['no-such-model'], format_unavailable => ['own/model', format => 'openai-embeddings']);
    for my $code (sort keys %refused) {
        my ($model, %o) = @{$refused{$code}};
        my $answer = simulate({relay_key => 'app'}, $model, %o)->json;
        is $answer->{allowed}, $false, "$code: not allowed";
        is $answer->{code}, $code, '... the code';
        is_deeply $answer->{candidates}, [], '... no candidates';
        cmp_ok length $answer->{verdict}, '>', 10, "... in words: $answer->{verdict}";
    }
    $admin->patch($admin->path('policies/team'), {deny => ['own/*']}, @any);
    is simulate({relay_key => 'app'}, 'own/model')->json->{code}, 'model_not_allowed', 'denied by the policy';
    $admin->patch($admin->path('policies/team'), {deny => [], hosts => ['other-*']}, @any);
    is simulate({relay_key => 'app'}, 'own/model')->json->{allowed}, $false, 'its host is not allowed';
    $admin->patch($admin->path('policies/team'), {hosts => ['*']}, @any);
    $admin->patch($admin->path('relay-keys/app'), {models => ['gpt-*']}, @any);
    is simulate({relay_key => 'app'}, 'own/model')->json->{code}, 'model_not_allowed', 'not among the key\'s models';
    is simulate({policy => 'team'}, 'own/model')->json->{allowed}, $true, 'the policy alone would';
    $admin->patch($admin->path('relay-keys/app'), {models => ['*']}, @any);
    $admin->patch($admin->path('policies/team'), {pools => []}, @any);
    is simulate({relay_key => 'app'}, 'own/model')->json->{code}, 'model_not_found', 'no pools';
    $admin->patch($admin->path('policies/team'), {pools => ['main']}, @any);
};

subtest 'the key itself' => sub {
    my %states = (disabled => [{disabled => $true}, {disabled => $false}], expired => [{expires_at => '2020-01-01T00:00:00Z'}, {expires_at => undef}]);
    for my $state (sort keys %states) {
        $admin->patch($admin->path('relay-keys/app'), $states{$state}[0], @any);
        my $answer = simulate({relay_key => 'app'}, 'own/model')->json;
        is $answer->{allowed}, $false, "$state: refused";
        is $answer->{code}, 'invalid_relay_key', '... as an application reads it';
        like $answer->{verdict}, qr/\Q$state\E/, '... in words';
        $admin->patch($admin->path('relay-keys/app'), $states{$state}[1], @any);
    }
    is simulate({relay_key => 'app'}, 'own/model')->json->{allowed}, $true, 'and good again';
    $admin->post($admin->path('relay-keys/app:revoke'), undef, @any);
    like simulate({relay_key => 'app'}, 'own/model')->json->{verdict}, qr/revoked/, 'revoked';
};

subtest 'what is no question' => sub {
    problem simulate({}, 'x'), 422, 'invalid_document', 'neither', '/relay_key';
    problem simulate({relay_key => 'app', policy => 'team'}, 'x'), 422, 'invalid_document', 'both', '/relay_key';
    problem simulate({relay_key => 'none'}, 'x'), 422, 'invalid_document', 'no such key', '/relay_key';
    problem simulate({policy => 'none'}, 'x'), 422, 'invalid_document', 'no such policy', '/policy';
    problem simulate({policy => 'team'}, 'x', format => 'smoke'), 422, 'invalid_document', 'no such format', '/format';
};

subtest 'many at the same time' => sub {
    my @children = map {
        my $pid = fork // die "fork: $!";
        if (!$pid) { POSIX::_exit(simulate({policy => 'team'}, 'own/model')->status == 200 ? 0 : 1) }
        $pid;
    } 1 .. 12;
    my $failed = 0;
    for my $pid (@children) { waitpid $pid, 0; $failed++ if $? }
    is $failed, 0, 'more than there are connections: none waits for another';
};

$admin->done;
