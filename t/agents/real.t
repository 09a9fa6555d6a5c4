#!/usr/bin/perl

# The coding agents themselves, in front of every format that is not their own: what
# t/agents.t shows with their shapes, with what is installed here. `make agents` gets
# them (some 800 MB) and runs this; no part of `make test`.

use lib 't/lib';
use Relay::Test;
use Relay::Upstreams;
use File::Temp ();
use MIME::Base64 ();
use POSIX ();

use constant NOBODY => 65534;    # they do not work for root without asking

my $signature = 'c2lnbmF0dXJlLW9mLWEtdGhvdWdodC10aGF0LWlzLWxvbmc=';
my $pixel = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
my ($claude) = glob "t/agents/node_modules/\@anthropic-ai/claude-code-*/claude";
my $codex = 't/agents/node_modules/.bin/codex';
BAIL_OUT('make agents installs them') unless $claude && -x $claude && -x $codex;
$_ = Cwd::abs_path($_) for $claude, $codex;

# ---- what the model does --------------------------------------------------------------

my @think = (thinking => ['First a file.', $signature]);

sub claude_turns {
    my ($dir) = @_;
    return [
        {@think, text => ['I will ', 'write.'], calls => [['call_1', 'Write', {file_path => "$dir/a.txt", content => "Gr\x{fc}\x{df}e \x{201c}x\x{201d}\n\t\\ end\n"}]]},
        {calls => [['call_2', 'Bash', {command => "echo once >> $dir/b.txt", description => 'Appends'}]]},
        {text => ['Both.'], calls => [['call_3', 'Read', {file_path => "$dir/a.txt"}], ['call_4', 'Read', {file_path => "$dir/pixel.png"}]]},
        {@think, calls => [['call_5', 'ToolSearch', {query => 'select:WebFetch,NotebookEdit', max_results => 5}]]},
        {calls => [['call_6', 'NotebookEdit', {notebook_path => "$dir/none.ipynb", new_source => 'x', cell_id => '1'}]]},
        {text => ['All ', 'done.']},
    ];
}

sub codex_turns {
    my ($dir) = @_;
    return [
        {@think, text => ['I will ', 'run.'], calls => [['call_1', 'exec_command', {cmd => "echo once >> $dir/b.txt"}]]},
        {calls => [['call_2', 'exec_command', {cmd => "printf 'a\\n' > $dir/a.txt; cat $dir/a.txt"}], ['call_3', 'view_image', {path => "$dir/pixel.png"}]]},
        {text => ['All ', 'done.']},
    ];
}

sub codex_patch_turns {
    my ($dir) = @_;
    return [
        {@think, calls => [['call_1', 'apply_patch', {input => "*** Begin Patch\n*** Add File: $dir/a.txt\n+Gr\x{fc}\x{df}e\n*** End Patch\n"}]]},
        {calls => [['call_2', 'tool_search__tool_search', {query => 'spawn agent', limit => 3}]]},
        {calls => [['call_3', 'exec_command', {cmd => "echo once >> $dir/b.txt"}]]},
        {text => ['All ', 'done.']},
    ];
}

sub codex_code_turns {
    my ($dir) = @_;
    my $run = sub { {input => "const r = await tools.exec_command({cmd: \"$_[0]\"});\ntext(r.output);\n"} };
    return [
        {@think, calls => [['call_1', 'functions__exec', $run->("echo once >> $dir/b.txt")]]},
        {text => ['More.'], calls => [['call_2', 'functions__exec', $run->("echo two > $dir/a.txt")]]},
        {calls => [['call_3', 'collaboration__list_agents', {}]]},
        {text => ['All ', 'done.']},
    ];
}

# The model's name decides which tools Codex offers.
my @sessions = (['claude', 'anthropic-messages', 'claude-opus-5-5', \&claude_turns], ['codex', 'openai-responses', 'some-model', \&codex_turns],
    ['codex', 'openai-responses', 'gpt-5.5', \&codex_patch_turns], ['codex', 'openai-responses', 'gpt-6-astra', \&codex_code_turns]);

# ---- the stack --------------------------------------------------------------------------

my @formats = qw(anthropic-messages bedrock-converse gemini openai-chat openai-responses);
my %base = (gemini => '/v1beta', 'bedrock-converse' => '');
my $work = File::Temp->newdir('relay-agents-XXXXXX', TMPDIR => 1);
chmod 0755, "$work";

my %mock = map {
    my $format = $_;
    $format => Relay::Mock->new(on => sub {
        my ($req) = @_;
        my $turns = $sessions[$req->flag('session')][3]->($req->flag('dir'));
        my $heard = eval { hear($format, $req->json) } or return {status => 400, body => {error => {message => "not understood: $@"}}};
        my $n = grep { $_->{side} eq 'model' } @{$heard->{turns}};
        my $answer = sse([tell($format, $turns->[$n], $req->{seq})]);
        $answer->{type} = 'application/vnd.amazon.eventstream' if $format eq 'bedrock-converse';
        return $answer;
    });
} @formats;

sub config {
    my ($format) = @_;
    my $host = {mock => $mock{$format}, base_url => $mock{$format}->url . ($base{$format} // '/v1'), formats => [$format],
        $format eq 'bedrock-converse' ? (secret => 'AKIDEXAMPLE:secret-of-bedrock-0123456789', auth => {type => 'sigv4', service => 'bedrock', region => 'us-east-1'}) : ()};
    return relay_config({models => {map { $_->[2] => {offers => [{host => 'up'}]} } @sessions}}, up => $host);
}

my $t = Relay::Test->new;
$t->relay(config($formats[0]))->start;

# ---- a session --------------------------------------------------------------------------

sub command {
    my ($agent, $model, $home) = @_;
    if ($agent eq 'claude') {
        return ({ANTHROPIC_BASE_URL => $t->url, ANTHROPIC_AUTH_TOKEN => RELAY_KEY, ANTHROPIC_MODEL => $model, ANTHROPIC_DEFAULT_HAIKU_MODEL => $model,
            CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC => 1}, $claude, '-p', 'Do the work.', '--output-format', 'json', '--dangerously-skip-permissions');
    }
    mkdir "$home/.codex";
    open my $file, '>', "$home/.codex/config.toml" or die $!;
    print $file qq{model = "$model"\nmodel_provider = "relay"\n[model_providers.relay]\nname = "Relay"\nbase_url = "}, $t->url, qq{/v1"\nwire_api = "responses"\nenv_key = "RELAY_KEY"\n};
    close $file;
    return ({RELAY_KEY => RELAY_KEY}, $codex, 'exec', '--skip-git-repo-check', '--dangerously-bypass-approvals-and-sandbox', '--json', 'Do the work.');
}

# Its status, and what it printed. Nothing of the environment is for it but the path.
sub run {
    my ($dir, $home, $environment, @command) = @_;
    my $pid = fork // die $!;
    if (!$pid) {
        %ENV = (PATH => $ENV{PATH}, HOME => $home, LANG => 'C.UTF-8', TERM => 'dumb', %$environment);
        chdir $dir and open STDIN, '<', '/dev/null' and open STDOUT, '>', "$home/said" and open STDERR, '>&', \*STDOUT or POSIX::_exit(126);
        if ($> == 0) { chown NOBODY, NOBODY, $dir, glob "$home $home/.codex"; POSIX::setgid(NOBODY); POSIX::setuid(NOBODY) }
        alarm 120;
        exec @command or POSIX::_exit(127);
    }
    waitpid $pid, 0;
    return ($?, slurp("$home/said"));
}

sub session {
    my ($number, $format) = @_;
    my ($agent, undef, $model, $turns) = @{$sessions[$number]};
    my ($dir, $home) = map { "$work/$_-$number-$format" } qw(work home);
    mkdir $_ for $dir, $home;
    open my $file, '>', "$dir/pixel.png" or die $!;
    print $file MIME::Base64::decode_base64($pixel);
    close $file;
    $mock{$format}->flag(session => $number);
    $mock{$format}->flag(dir => $dir);
    my $before = @{$mock{$format}->requests(0)};
    my ($status, $said) = run($dir, $home, command($agent, $model, $home));
    is $status, 0, 'it ends well' or diag $said;
    like $said, qr/All done\./, 'with the last words';
    is slurp("$dir/b.txt"), "once\n", 'a tool ran once';
    ok -s "$dir/a.txt", 'and the others';
    is @{$mock{$format}->requests(0)} - $before, @{$turns->($dir)}, 'no call too many';
}

for my $format (@formats) {
    $t->relay(config($format))->reload;
    for my $number (grep { $sessions[$_][1] ne $format } 0 .. $#sessions) {
        subtest "$sessions[$number][0], $sessions[$number][2], with a model of $format" => sub { session($number, $format) };
    }
}

$t->done;
