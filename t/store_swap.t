#!/usr/bin/perl

# Many changes under open streams: none is broken, none moves, no worker is
# replaced, and nothing of what went by stays behind. A large configuration
# does not hold up the worker that takes it.

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;
use Relay::Store;

# A stream of 3 s that says who sent it.
sub slow {
    my ($name) = @_;
    return sub {
        my ($req) = @_;
        my @parts = chat_stream();
        return {body => chat_answer()} unless $req->json->{stream};
        return {type => 'text/event-stream', chunked => 1, steps => [[chunk => ": $name\n\n"],
            (map { ([chunk => $_], [sleep => 3000 / @parts]) } @parts), [chunk => '']]};
    };
}

my %mock = (map { ($_ => Relay::Mock->new(on => slow($_))) } qw(a b));
my $tls = Relay::Mock->new(on => slow('tls'), tls => {names => ['localhost']});
my $whole = join '', chat_stream();
my $app = 'store-test-relay-key-0001';
my $store = Relay::Store->new;
my $t = $store->nginx(workers => 2);
$t->start;

my %config = map { ($_ => $store->sealed(relay_config($_ => $mock{$_}))) } qw(a b);
$config{tls} = $store->sealed(relay_config(tls => {base_url => 'https://localhost:' . $tls->port . '/v1',
    tls => {ca_file => $tls->ca_file}}));
my @names = qw(a b tls);

sub rss { my ($pid) = @_; slurp("/proc/$pid/status") =~ /^VmRSS:\s+(\d+) kB/m; return $1 }
sub descriptors { my ($pid) = @_; my @open = glob "/proc/$pid/fd/*"; return scalar @open }
sub begin {
    my $c = $t->client;
    $c->request(POST => '/v1/chat/completions', headers => auth('bearer', $app), body => {model => 'm', messages => [], stream => \1});
    return $c;
}
sub whole { my ($res) = @_; my $body = $res->body; $body =~ s/^: \w+\n\n//mg; return $res->clean && $body eq $whole }

$store->publish('workspace/default' => $config{a});
$store->key(name => 'app', secret => $app);
ok $store->applied($t, 1), 'the first head';
my @workers = $t->workers;
is scalar(@workers), 2, 'two workers';

# ---- changes, fast ----------------------------------------------------------

my (@streams, @hosts, %status, $last);
my $swaps = 150;
for my $n (1 .. $swaps) {
    my $name = $names[$n % 3];
    $last = $store->publish('workspace/default' => {%{$config{$name}}, '$comment' => "$n"});
    push @streams, begin() if $n % 3 == 0;
    sleep 0.01;
    $status{$t->post('/v1/chat/completions', {model => 'm', messages => []}, key => $app)->status}++;
}
ok $store->applied($t, $last), "$swaps changes: the last one is served by every worker";
is_deeply \%status, {200 => $swaps}, 'every request in between was answered';
my @answers = Relay::Client->gather(@streams);
my %host;
for my $i (0 .. $#answers) {
    my $host = $answers[$i]->header('x-relay-host') || '';
    my ($said) = $answers[$i]->body =~ /^: (\w+)$/m;
    $host{$host}++;
    push @hosts, $i if !whole($answers[$i]) || ($said || '') ne $host;
}
is scalar(@hosts), 0, @answers . ' streams under changes: each is whole and stays where it began' or diag "streams @hosts";
cmp_ok scalar(keys %host), '>', 1, 'at more than one host';
is join(' ', $t->workers), join(' ', @workers), 'one generation of workers';
like $t->error_log, qr/revision $last is served/, 'as the log says';

# ---- a stream that outlives what it began with ------------------------------

{
    $last = $store->publish('workspace/default' => $config{a});
    ok $store->applied($t, $last), 'a configuration';
    my @old = map { begin() } 1 .. 6;
    $_->read_until(qr/data:/) for @old;
    $last = $store->publish('workspace/default' => $config{b});
    ok $store->applied($t, $last), 'another one';
    is $t->post('/v1/chat/completions', {model => 'm', messages => []}, key => $app)->header('x-relay-host'), 'b', 'new requests meet it';
    is scalar(grep { whole($_) } Relay::Client->gather(@old)), 6, 'streams of the one before end whole';
    is scalar($mock{a}->open_connections(0, 3)), 0, 'then its connections are closed';
    is scalar($tls->open_connections(0, 1)), 0, 'and those of what went before';
}

# ---- nothing stays behind ---------------------------------------------------

{
    my ($worker) = $t->workers;
    my %wide = %{$config{a}};
    $wide{models} = {%{$wide{models}}, map { ("filler-$_" => {offers => [{host => 'a', id => "id-$_"}], display_name => 'x' x 200}) } 1 .. 2000};
    my $turn = sub {
        for my $n (1 .. $_[0]) {
            $last = $store->publish('workspace/default' => {%wide, '$comment' => "$n"}, 'workspace/other' => {pools => {"other-$n" => {}}});
            $store->applied($t, $last);
        }
    };
    $turn->(15);
    my ($memory, $open) = (rss($worker), descriptors($worker));
    $turn->(60);
    my $more = rss($worker) - $memory;
    # each of them takes more than 1 MB
    cmp_ok $more, '<', 20000, "60 changes more: memory does not grow with them ($more kB)" unless $ENV{ASAN_OPTIONS};
    cmp_ok descriptors($worker), '<=', $open + 3, 'nor do descriptors';
    my @documents = glob $store->dir . '/state/documents/*';
    cmp_ok scalar(@documents), '<=', 4, 'nor the directory';
}

# ---- a large one ------------------------------------------------------------

{
    my %large = (hosts => {map { ("host-$_" => {base_url => "http://127.0.0.1:" . (1000 + $_) . '/v1', formats => ['openai-chat'], local => \1}) } 1 .. 1500},
        models => {map { ("large-$_" => {offers => [{host => 'host-' . (1 + $_ % 1500), id => "id-$_"}], display_name => 'x' x 100}) } 1 .. 20000},
        provider_keys => {map { ("large-key-$_" => {host => "host-$_", value => ''}) } 1 .. 1500});
    my $echo = {hosts => {echo => {echo => \1}}};
    $last = $store->publish('workspace/default' => $config{b}, 'workspace/other' => $echo);
    ok $store->applied($t, $last), 'a small configuration';
    my $c = $t->client;
    my $ping = sub {
        $c->request(POST => '/v1/chat/completions', headers => auth('bearer', $app), body => {model => 'echo', messages => []});
        my $begin = time;
        my $res = $c->response;
        return 1000 * (time - $begin);
    };
    $ping->() for 1 .. 50;
    my @calm = sort { $a <=> $b } map { $ping->() } 1 .. 300;
    $last = $store->publish('workspace/default' => $config{b}, 'workspace/other' => $echo, 'workspace/large' => \%large);
    my @busy;
    my $until = time + 10;
    while (time < $until) {
        push @busy, $ping->();
        last if @busy % 100 == 0 && $store->applied($t, $last, 0.001);
    }
    ok $store->applied($t, $last), 'a configuration with 1500 hosts and 20000 models';
    @busy = sort { $a <=> $b } @busy;
    # threads share the processors: what a step of the loop takes shows in the worst case only
    cmp_ok $busy[-1], '<', 100, sprintf 'requests go on meanwhile: worst of %d in %.1f ms, without a change %.1f ms', scalar(@busy), $busy[-1], $calm[-1];
    is $t->post('/v1/chat/completions', {model => 'm', messages => []}, key => $app)->status, 200, 'and after it';
}

$t->done;
