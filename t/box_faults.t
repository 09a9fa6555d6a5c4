#!/usr/bin/perl
#
# The box when its parts, or it itself, are killed, cannot start, or find no room:
# it is running again, or says why not, and requests are served meanwhile.

use lib 't/lib';
use Relay::Box;

use Digest::SHA qw(sha256_hex);
use IO::Socket::INET;
use POSIX qw(WNOHANG);
use Relay::Mock;
use Relay::Test ();

my ($status, $output, $pid);
my $box = Relay::Box->new(allow => [qr/bind\(\) to .* failed/, qr/still could not bind/,
    qr/connect\(\) to unix:\S+ failed/]);

sub launcher_log { slurp($box->home . '/logs/launcher.log') }

# Asks all the time until it is told to stop; returns what was not answered with 200.
sub steady {
    my ($key) = @_;
    my $file = $box->dir . '/steady';
    $box->write($file, '');
    my $child = fork // die "fork: $!";
    if (!$child) {
        my $stop = 0;
        local $SIG{TERM} = sub { $stop = 1 };
        open my $out, '>', $file or POSIX::_exit(1);
        while (!$stop) {
            my $res = $box->chat($key);
            print {$out} "$res->{status} ", $res->{content} =~ s/\s+/ /gr, "\n";
            select undef, undef, undef, 0.03;
        }
        close $out;
        POSIX::_exit(0);
    }
    return sub {
        kill TERM => $child;
        waitpid $child, 0;
        my @lines = split /\n/, slurp($file);
        cmp_ok scalar @lines, '>', 5, 'requests were made all the time';
        return grep { !/^200 / } @lines;
    };
}

sub stream {
    my ($key) = @_;
    open my $stream, '-|', 'curl', '-s', '-N', '--json', '{"model":"slow","stream":true,"messages":[]}',
        '-H', "Authorization: Bearer $key", $box->url . '/v1/chat/completions' or die $!;
    return $stream;
}


# ---- killed while its first database is made -------------------------------------

$pid = $box->start_in_front;
ok within(20, sub { $box->said =~ /making a database/ }), 'a database is being made';
kill KILL => $pid;
waitpid $pid, 0;
ok within(10, sub { !$box->processes }), 'the supervisor is killed, and nothing of it is left';
$box->start;
my $key = $box->key;
is $box->chat($key)->{status}, 200, 'the next start makes it whole';
$box->set_up;
my $mock = Relay::Mock->new(on => sub {
    return sse([(map { qq(data: {"choices":[{"index":0,"delta":{"content":"$_"}}]}\n\n) } 1 .. 30),
        qq(data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n), "data: [DONE]\n\n"], gap_ms => 100);
});
my $slow = $box->serve($mock, 'slow');


# ---- each part killed ------------------------------------------------------------

for my $part (qw(relayd redis postgres)) {
    my $ask = steady($key);
    sleep 0.3;
    my $old = $box->part($part);
    kill KILL => $old;
    ok within(20, sub { my $new = $box->part($part); $new && $new != $old }), "$part: killed, started again";
    ok within(20, sub { $box->ask(GET => $box->admin_url . '/readyz')->{status} == 200 }), '... and of use again';
    my @bad = $ask->();
    is scalar @bad, 0, '... requests went on' or diag join "\n", @bad[0 .. ($#bad > 4 ? 4 : $#bad)];
    like launcher_log(), qr/^relay: $part ended \(signal KILL\), is started again in 0\.5 s/m, '... and it was said';
    is $box->api(GET => 'relay-keys/first')->{status}, 200, '... with all that it had';
    ok within(20, sub { $box->redis('EXISTS', 'relay:head', 'relay:key:' . sha256_hex($slow)) eq '2' }),
        '... the store is filled again';
}
($status, $output) = $box->launch('status');
is $status, 0, 'status: all is up' or diag $output;

my $before = $box->part('relayd');
kill KILL => $before;
ok within(10, sub { launcher_log() =~ /relayd ended \(signal KILL\), is started again in 1\.0 s/ }), 'later the second time';
($status, $output) = $box->launch('status');
is $status, 1, 'status: not all is up';
like $output, qr/relayd, down, to be started again/, 'and what is not';
ok within(10, sub { ($box->part('relayd') || $before) != $before }), 'it comes back';

{
    my $stream = stream($slow);
    my $first = <$stream>;
    like $first, qr/^data: /, 'nginx: a stream is open';
    my $old = $box->part('nginx');
    my @workers = $box->workers;
    kill KILL => $old;
    ok within(10, sub { my $new = $box->part('nginx'); $new && $new != $old && $box->chat($key)->{status} == 200 }),
        '... its master is killed: another one serves';
    like join('', <$stream>), qr/"content":"30"/, '... and the stream of the old worker was finished';
    ok within(5, sub { !grep { kill 0 => $_ } @workers }), '... which then left';
}


# ---- a port that is taken meanwhile ------------------------------------------------

{
    my @nginx = ($box->part('nginx'), $box->workers);
    kill KILL => @nginx;
    my $taken;
    ok within(5, sub { $taken = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $box->{port}, Listen => 1, ReuseAddr => 1) }),
        'somebody takes the port of nginx';
    ok within(20, sub { launcher_log() =~ /nginx ended \(status 1\).*bind\(\) to .*:$box->{port} failed/ }), 'which is said';
    close $taken;
    ok within(30, sub { $box->chat($key)->{status} == 200 }), 'and mended when it is free';
}


# ---- the supervisor killed -----------------------------------------------------------

kill KILL => $box->part('box');
ok within(10, sub { !$box->processes }), 'all goes with the supervisor' or diag `ps -o pid,ppid,args -p @{[join ',', $box->processes]}`;
($status, $output) = $box->launch('status');
is $status, 3, 'status: down';
$box->start;
is $box->chat($key)->{status}, 200, 'the next start has all that was';

{
    my $stream = stream($slow);
    my $first = <$stream>;
    kill KILL => $box->part('box');
    sleep 0.5;
    ok scalar $box->processes, 'with a stream open, nginx lets it finish';
    ($status, $output) = $box->launch('status');
    is $status, 1, 'status says so';
    like $output, qr/supervisor was killed; make stop/, 'and what to do';
    ($status, $output) = $box->launch('start', RELAY_PORT => Relay::Test::free_port());
    is $status, 1, 'a start meanwhile is refused';
    ($status, $output) = $box->launch('stop', RELAY_STOP_AFTER_S => 1);
    is $status, 0, 'stop cleans up' or diag $output;
    is join(' ', $box->processes), '', 'nothing is left';
    close $stream;
}


# ---- what cannot start ------------------------------------------------------------------

my $data = $box->state . '/postgres';
chmod 0777, $data;
($status, $output) = $box->launch('start');
is $status, 1, 'Postgres does not start';
like $output, qr/did not start: postgres did not start:.*invalid permissions/s, 'and its last words are shown';
is join(' ', $box->processes), '', 'nothing is left';
chmod 0700, $data;

rename $box->home . '/keys/verify.keys', $box->home . '/keys/away';
$box->write($box->home . '/keys/verify.keys', "this is no key\n");
($status, $output) = $box->launch('start');
is $status, 1, 'nginx does not accept its keys';
like $output, qr/nginx does not accept its configuration:.*verify\.keys/s, 'and why is shown';
is join(' ', $box->processes), '', 'nothing is left';
rename $box->home . '/keys/away', $box->home . '/keys/verify.keys';

rename $box->home . '/keys/master.keys', $box->home . '/keys/away';
$box->write($box->home . '/keys/master.keys', "k1 short\n");
($status, $output) = $box->launch('start');
is $status, 1, 'relayd does not accept its keys';
like $output, qr/relayd: the master key, line 1: a key is 32 bytes/, 'and why is shown';
rename $box->home . '/keys/away', $box->home . '/keys/master.keys';

SKIP: {
    skip 'not root: no mounts', 4 if $> != 0;
    my $mounted = $box->dir . '/mounted';
    mkdir $mounted;
    for my $case (['size=40m', qr/only \d+ MB are free where \S+ is; 256 are needed/],
        ['ro,size=400m', qr/RELAY_HOME=\S+ \(Read-only file system\)/])
    {
        my $small = Relay::Box->new(home => "$mounted/home", as => ['unshare', '-m', 'sh', '-c',
            "mount -t tmpfs -o $case->[0] tmpfs $mounted && exec \"\$0\" \"\$@\""]);
        ($status, $output) = $small->launch('start');
        is $status, 1, "a file system with $case->[0] is refused";
        like $output, $case->[1], 'and explained';
    }
}


# ---- a terminal that goes away -------------------------------------------------------------

$pid = $box->start_in_front;
ok within(30, sub { $box->said =~ /Ctrl-C stops/ }), 'in front';
is $box->chat($key)->{status}, 200, 'with all that was' ;
kill HUP => -$pid;
ok within(20, sub { waitpid($pid, WNOHANG) == $pid }), 'ends with its terminal';
is join(' ', $box->processes), '', 'nothing is left';

$box->done;
