#!/usr/bin/perl
#
# Redis, Postgres and relayd are away, each alone and all of them, and nginx is
# started anew meanwhile: relay keys that were met go on working, unknown ones are
# told to come again, nobody waits for what is away, and all heals by itself.

use lib 't/lib';
use Relay::Box;

use JSON::PP ();
use Relay::Mock;

# A stopped process neither answers nor refuses; a killed one would be started again.
my %parts = (redis => ['redis'], relayd => ['relayd'], postgres => ['postgres'], 'all three' => [qw(redis relayd postgres)]);
my $most_s = 0.05;     # what a store that is away may cost
my $slack_s = 0.3;     # the same of one request: machines are busy

my $box = Relay::Box->new(env => {RELAY_STOP_AFTER_S => 5}, allow => [qr/connect\(\) to unix:\S+ failed/]);
$box->start;
$box->set_up;
my $mock = Relay::Mock->new(on => sub { {status => 200, body => {id => 'x', object => 'chat.completion', choices => [],
    usage => {prompt_tokens => 1, completion_tokens => 1, total_tokens => 2}}} });
my %key = (first => $box->key, served => $box->serve($mock, 'm'));
my %model = (first => 'relay/echo', served => 'm');
my $unknown = 'unknown-key-of-an-application-';
my $number = 0;

# Postgres has a process for each connection; only together they are away.
sub processes {
    my ($part) = @_;
    my $pid = $box->part($part) or return;
    return $part eq 'postgres' ? ($pid, split ' ', `pgrep -P $pid`) : $pid;
}
sub freeze { kill STOP => map { processes($_) } @_ }
sub thaw { kill CONT => map { processes($_) } reverse @_ }

# One may have met the process of another test on the processor; of requests that
# wait, each would be late. That they wait less than they may, half of them shows.
sub nobody_waits {
    my ($how, @took) = @_;
    my @sorted = sort { $a <=> $b } @took;
    my @late = map { sprintf '%.3f', $_ } grep { $_ > $slack_s } @sorted;
    cmp_ok scalar @late, '<=', 1, "... $how" or diag "@late";
    cmp_ok $sorted[$#sorted / 2], '<=', $most_s, '... nor longer than a store may cost' or diag "@sorted";
}

sub known {
    my ($what) = @_;
    # Every worker has met them: who asks is not told which one answers.
    my (@status, @took);
    for (1 .. 8) {
        for my $name (sort keys %key) {
            my $res = $box->chat($key{$name}, $model{$name});
            push @status, $res->{status};
            push @took, $res->{seconds};
        }
    }
    is join(' ', grep { $_ != 200 } @status), '', "$what: known keys work";
    nobody_waits('and nobody waits', @took);
}

sub unknown { $box->chat($unknown . ++$number) }

sub strangers {
    my ($what, $expected) = @_;
    my @took;
    for (1 .. 4) {
        my $res = unknown();
        is $res->{status}, $expected, "$what: an unknown key is told $expected" or diag $res->{content};
        cmp_ok $res->{headers}{'retry-after'} || 0, '>', 0, '... and when to come again' if $expected == 503;
        push @took, $res->{seconds};
    }
    nobody_waits('at once', @took);
}

sub serves { my ($seconds) = @_; within($seconds, sub { unknown()->{status} == 401 }) }
sub admin { $box->ask(GET => $box->admin_url . '/readyz')->{status} }

# Until all workers have met the keys, and what they met is on disk.
known('before');
strangers('before', 401);
ok within(10, sub { 2 <= scalar(my @files = grep { -f } split /\n/, `find '${\$box->state}/workers/keys' -type f`) }), 'they are on disk';

for my $what ('relayd', 'postgres', 'redis', 'all three') {
    my @away = @{$parts{$what}};
    my $store = grep { $_ eq 'redis' } @away;
    freeze(@away);
    # A process that is stopped is noticed by silence.
    unknown() for 1 .. 4;
    sleep 2.5 if $store;
    known("$what away");
    strangers("$what away", $store ? 503 : 401);

    kill KILL => processes('nginx'), $box->workers;
    ok within(15, sub { $box->chat($key{first})->{status} == 200 }), "$what away: nginx is started anew, and serves";
    # The other worker, too.
    ok within(5, sub { !grep { $_ != 200 } map { $box->chat($key{first})->{status} } 1 .. 6 }), '... all of it';
    known("$what away, nginx anew");
    strangers("$what away, nginx anew", $store ? 503 : 401);

    thaw(@away);
    ok serves(15), "$what is back: unknown keys are known to be so";
    ok within(20, sub { admin() == 200 }), '... and the admin API is ready';
    my $minted = eval { $box->mint("after-" . $what =~ s/ /-/gr, policy => 'm') };
    ok $minted, '... a new relay key is made' or diag $@;
    is $box->chat($minted || 'none', 'm')->{status}, 200, '... and works at once';
}


# ---- killed, all of them at once -----------------------------------------------------

kill KILL => map { $box->part($_) } qw(postgres redis relayd nginx);
ok within(20, sub { $box->chat($key{served}, 'm')->{status} == 200 }), 'all killed: known keys work again';
ok within(30, sub { admin() == 200 && serves(1) }), '... and all else';
ok $box->mint('last', policy => 'm'), '... a relay key is made';

$box->done;
