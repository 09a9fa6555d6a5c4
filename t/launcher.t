#!/usr/bin/perl
#
# `make run`, `make stop` and `make status` as a user meets them: the launcher
# with the samples in config/, in a checkout under a long path with a space in
# it, as root and not.

use strict;
use warnings;

use Cwd qw(getcwd);
use File::Copy qw(copy);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use JSON::PP;
use POSIX qw(setpgid);
use Socket qw(AF_INET INADDR_ANY SOCK_STREAM pack_sockaddr_in unpack_sockaddr_in);
use Test::More;
use Time::HiRes qw(sleep time);

my $root   = getcwd;
my $temp   = tempdir('relay-launcher-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $static = ($ENV{RELAY_MODULE} || '') eq 'static';
my @homes;

chmod 0755, $temp;

# Provider keys of whoever runs the tests shall not matter here.
my @references = references("$root/config/relay.json");
delete @ENV{@references};

my $checkout = checkout();

END {
    my $status = $?;
    launch('stop', RELAY_HOME => $_) for @homes;
    $? = $status;
}


# ---- what is run -------------------------------------------------------------

# A copy of what the launcher needs, where the path is longer than 150 bytes.
sub checkout {
    my $path = "$temp/with a space/" . join('/', ('a-rather-long-name') x 8);

    make_path("$path/docker/launcher", "$path/config", "$path/build");
    copy_file($_, "$path/$_") for glob('docker/launcher/*'), glob('config/*'), 'build/relayctl';
    copy_file('build/ngx_relay_module.so', "$path/build/ngx_relay_module.so") if !$static;

    if ($ENV{RELAY_NGINX}) {
        copy_file($ENV{RELAY_NGINX}, "$path/build/nginx");
        $ENV{RELAY_NGINX} = "$path/build/nginx";
    }

    return $path;
}

sub copy_file {
    my ($from, $to) = @_;
    copy($from, $to) or die "$from: $!\n";
    chmod 0755, $to;
}

sub references {
    my ($file) = @_;
    return do { my %seen; grep { !$seen{$_}++ } slurp($file) =~ /"env:(\w+)"/g };
}

sub home {
    my ($name) = @_;
    push @homes, "$temp/$name";
    return "$temp/$name";
}

# launch(COMMAND, NAME => value...): ($status, $output)
sub launch {
    my ($command, %env) = @_;
    my @as = @{ delete $env{as} || [] };
    local %ENV = (%ENV, %env);

    my $pid = open(my $pipe, '-|') // die "fork: $!\n";

    if ($pid == 0) {
        open STDIN,  '<',  '/dev/null';
        open STDERR, '>&', \*STDOUT;
        exec @as, "$checkout/docker/launcher/relay", $command or die "launcher: $!\n";
    }

    local $/;
    my $output = <$pipe>;
    close $pipe;
    return ($? >> 8, $output);
}

sub free_port {
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1, Proto => 'tcp')
        or die "no port: $!\n";
    return $socket->sockport;
}

sub connects {
    my ($port) = @_;
    return defined IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port", Timeout => 5);
}

sub slurp {
    my ($file) = @_;
    open my $fh, '<', $file or die "$file: $!\n";
    local $/;
    return scalar(<$fh>) // '';
}

sub within {
    my ($seconds, $condition) = @_;
    my $end = time + $seconds;

    while (time < $end) {
        return 1 if $condition->();
        sleep 0.05;
    }
    return 0;
}

sub mode {
    return sprintf '%04o', (stat $_[0])[2] & 07777;
}


# ---- in the background -------------------------------------------------------

my $home = home('state with a space');
my $port = free_port();
my @at   = (RELAY_HOME => $home, RELAY_PORT => $port, DETACH => 1);

cmp_ok(length $checkout, '>', 150, 'the checkout has a long path');

my ($status, $output) = launch('start', @at);
is($status, 0, 'starts') or diag $output;
like($output, qr{base URL  http://localhost:$port/v1$}m, 'shows the base URL for /v1 SDKs');
like($output, qr{base URL  http://localhost:$port/gemini$}m, '... and for those of Gemini');
like($output, qr{base URL  http://localhost:$port$}m, 'shows the base URL without version');
like($output, qr/no provider key in the environment/, 'says that no provider key was found');

my ($key) = $output =~ /^\s+Relay key\s+(rly_\w+)$/m;
is(length($key || ''), 50, 'shows a relay key');

is(mode($home), '0700', 'the state directory is private');
is(mode("$home/relay_key"), '0600', 'the relay key is private');
is(mode("$home/keys.json"), '0600', 'the key document is private');
unlike(slurp("$home/keys.json"), qr/\Q$key\E/, 'nginx is given the digest, not the key');

my ($curl) = $output =~ /^\s+(curl .*?\}')$/ms;
my $answer = eval { decode_json(`$curl -s -m 10 2>&1`) } || {};
is($answer->{object}, 'chat.completion', 'the curl that is shown works as pasted');
ok(length($answer->{choices}[0]{message}{content} || ''), 'and brings an answer');
cmp_ok($answer->{usage}{total_tokens} || 0, '>', 0, 'with usage');

# nginx writes the line when the client has its answer already
my $entry = {};
for (1 .. 50) {
    $entry = eval { decode_json((split /\n/, slurp("$home/logs/access.log"))[-1]) } || {};
    last if $entry->{model};
    select undef, undef, undef, 0.1;
}
is($entry->{model}, 'relay/echo', 'the access log is JSON and has the model');
is($entry->{status}, 200, 'and the status');
is($entry->{input_tokens}, $answer->{usage}{prompt_tokens}, 'and the tokens as numbers');
is($entry->{path}, '/v1/chat/completions', 'and the path');

($status, $output) = launch('status', @at);
is($status, 0, 'status: up');
my $master = (slurp("$home/nginx.pid") =~ /(\d+)/)[0];
like($output, qr{up, process $master, http://localhost:$port}, 'with process and URL');

($status, $output) = launch('start', @at, RELAY_PORT => free_port());
is($status, 1, 'a second start in the same directory is refused');
like($output, qr/already running.* on port $port/, 'and says where it runs');

($status, $output) = launch('start', @at, RELAY_HOME => home('other'));
is($status, 1, 'a taken port is refused');
like($output, qr/port $port is taken/, 'and named');

($status, $output) = launch('stop', @at);
is($status, 0, 'stops') or diag $output;
ok(!connects($port), 'the port is free');
($status, $output) = launch('status', @at);
is($status, 3, 'status: down');
like($output, qr/down/, 'in words');
($status, $output) = launch('stop', @at);
is($status, 0, 'stopping what is stopped is no error');


# ---- again, with a provider key ----------------------------------------------

ok(scalar @references, 'relay.json names environment variables');
($status, $output) = launch('start', @at, $references[0] => 'secret-of-the-test');
is($status, 0, 'starts again') or diag $output;
like($output, qr/\Q$key\E/, 'the relay key is kept');
like($output, qr/provider keys found: \Q$references[0]\E$/m, 'names the provider key found');
unlike($output . slurp("$home/nginx.conf") . slurp("$home/logs/error.log"),
    qr/secret-of-the-test/, 'and does not show it');

# Its workers go on without their master; they must be found all the same.
kill KILL => (slurp("$home/nginx.pid") =~ /(\d+)/)[0];
sleep 0.2;
($status, $output) = launch('start', @at);
is($status, 1, 'workers without a master still count as running');
($status, $output) = launch('stop', @at);
is($status, 0, 'and are stopped') or diag $output;
ok(within(5, sub { !connects($port) }), 'and gone');


# ---- in the foreground -------------------------------------------------------

{
    local %ENV = (%ENV, @at, DETACH => '');
    my $log = "$temp/foreground.log";
    write_file($log, '');
    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        setpgid(0, 0);
        open STDIN,  '<',  '/dev/null';
        open STDOUT, '>',  $log;
        open STDERR, '>&', \*STDOUT;
        exec "$checkout/docker/launcher/relay", 'start' or POSIX::_exit(127);
    }

    ok(within(10, sub { slurp($log) =~ /Ctrl-C stops/ }), 'runs in the foreground');
    ok(connects($port), 'and serves');
    kill INT => -$pid;
    ok(within(10, sub { waitpid($pid, POSIX::WNOHANG) == $pid }), 'Ctrl-C ends it');
    is($?, 0, 'without an error');
    like(slurp($log), qr/relay: stopped$/, 'and says so');
    ok(!connects($port), 'nothing is left behind');
}


# ---- what cannot work --------------------------------------------------------

for my $bad (qw(abc 0 65536 80x)) {
    ($status, $output) = launch('start', @at, RELAY_PORT => $bad);
    is($status, 1, "port $bad is refused");
    like($output, qr/RELAY_PORT=\Q$bad\E is not a port/, 'and explained');
}

{
    socket(my $bound, AF_INET, SOCK_STREAM, 0) or die "socket: $!\n";
    bind($bound, pack_sockaddr_in(0, INADDR_ANY)) or die "bind: $!\n";
    my ($other) = unpack_sockaddr_in(getsockname $bound);
    ($status, $output) = launch('start', @at, RELAY_PORT => $other);
    is($status, 1, 'a port that is bound but does not listen is refused');
    like($output, qr/port $other is taken/, 'and named');
}

($status, $output) = launch('start', @at, RELAY_HOME => "$temp/a\"quote");
is($status, 1, 'a path that nginx cannot read is refused');
like($output, qr/nginx cannot read files under this path/, 'and explained');

($status, $output) = launch('start', @at, RELAY_HOME => '/proc/relay');
is($status, 1, 'a state directory that cannot be made is refused');
like($output, qr{cannot create RELAY_HOME=/proc/relay}, 'and explained');

{
    my $sample = "$checkout/config/relay.json";
    my $text   = slurp($sample);
    write_file($sample, $text =~ s/\}\s*\z/,/r);
    ($status, $output) = launch('start', @at);
    is($status, 1, 'a broken relay.json is refused');
    like($output, qr/relay\.json:\d+:\d+/, 'with line and column');
    write_file($sample, $text);
}


# ---- as somebody else than root ----------------------------------------------

SKIP: {
    skip 'not root: everything above was', 5 if $> != 0;

    my $mine = "$temp/of nobody";
    mkdir $mine;
    chown +(getpwnam 'nobody')[2, 3], $mine;
    push @homes, "$mine/state";

    my @nobody = (@at, RELAY_HOME => "$mine/state",
        as => [qw(setpriv --reuid=nobody --regid=nogroup --clear-groups)]);

    ($status, $output) = launch('start', @nobody);
    is($status, 0, 'starts as an ordinary user') or diag $output;
    ok(connects($port), 'and serves');
    ($status, $output) = launch('stop', @nobody);
    is($status, 0, 'and stops');

    ($status, $output) = launch('start', @nobody, RELAY_HOME => $home);
    is($status, 1, 'the state directory of another user is refused');
    like($output, qr/RELAY_HOME=\Q$home\E belongs to root/, 'and explained');
}


# ---- the sample of a complete nginx.conf -------------------------------------

{
    my $prefix = "$temp/sample";
    make_path("$prefix/conf", "$prefix/modules", "$prefix/logs");
    copy_file($_, "$prefix/conf") for glob('config/*');
    copy_file("$home/keys.json", "$prefix/conf");
    copy_file('build/ngx_relay_module.so', "$prefix/modules") if !$static;

    my $text = slurp("$prefix/conf/nginx.conf");
    $text =~ s{/var/log/nginx/}{logs/}g;
    $text =~ s{^load_module .*$}{}m if $static;
    write_file("$prefix/conf/nginx.conf", $text);

    my $nginx = $ENV{RELAY_NGINX} || '/usr/sbin/nginx';
    my $said  = `"$nginx" -t -p "$prefix/" -c "$prefix/conf/nginx.conf" \\
        -g "pid logs/nginx.pid; error_log logs/error.log;" 2>&1`;
    is($? >> 8, 0, 'config/nginx.conf is accepted') or diag $said;
}

sub write_file {
    my ($file, $text) = @_;
    open my $fh, '>', $file or die "$file: $!\n";
    print $fh $text;
    close $fh or die "$file: $!\n";
}

done_testing;
