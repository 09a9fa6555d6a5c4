#!/usr/bin/perl

# The client of Redis against servers that misbehave: what is no answer, what
# is too much, what never comes, what must not be trusted. Each ends in one line
# of the log and in another attempt; none of it touches a request.

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;
use Relay::Store;

use IO::Select;
use IO::Socket::INET;
use Socket qw(SOMAXCONN);

my $mock = Relay::Mock->new(on => sub { {body => chat_answer()} });

# ---- a scripted server ------------------------------------------------------

# It signs in as it should and then answers a GET as the file "mode" says: the
# word says when, the rest is the text. SUBSCRIBE and PING are answered well.
my $store = Relay::Store->new;
my $mode = $store->dir . '/mode';
my $port = Relay::Test::free_port();

sub mode { my ($when, $text) = @_; $store->write_file('mode.new', "$when " . (defined $text ? $text : '')); rename "$mode.new", $mode }

sub take {
    my ($socket) = @_;
    local $/ = "\r\n";
    my $line = readline $socket;
    return unless defined $line;
    return map { my $n = substr readline($socket), 1; read $socket, my $word, $n + 2; substr $word, 0, $n } 1 .. substr($line, 1);
}

# On the channel: that there is something to fetch, whenever the mode changes.
sub announce {
    my ($socket) = @_;
    my $last = '';
    while (1) {
        my $now = Relay::Test::slurp($mode);
        print {$socket} "*3\r\n\$7\r\nmessage\r\n\$13\r\nrelay:changes\r\n\$6\r\nhead 1\r\n" or return if $now ne $last;
        $last = $now;
        return if IO::Select->new($socket)->can_read(0.1);
    }
}

sub converse {
    my ($socket) = @_;
    while (my ($command) = take($socket)) {
        my ($when, $text) = split / /, Relay::Test::slurp($mode), 2;
        sleep 30 if $when eq 'silent' || $when eq 'stall' && $command eq 'GET';
        my $good = $command eq 'SUBSCRIBE' ? "*3\r\n\$9\r\nsubscribe\r\n\$13\r\nrelay:changes\r\n:1\r\n"
            : $command eq 'PING' ? "+PONG\r\n" : $command eq 'HSET' ? ":1\r\n" : "\$-1\r\n";
        return print {$socket} $text if $when eq 'greet';
        my $say = $when eq 'get' && $command eq 'GET' ? $text : $good;
        for my $part ($when eq 'slowly' ? split(//, $say) : $say) {
            print {$socket} $part or return;
            sleep 0.2 if $when eq 'slowly';
        }
        return announce($socket) if $command eq 'SUBSCRIBE' && $when ne 'extra';
        if ($when eq 'extra') { sleep 0.2; print {$socket} $text }
        return if $when eq 'cut' && $command eq 'GET';
    }
}

mode('good');
my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => SOMAXCONN, ReuseAddr => 1) or die $!;
my $server = fork;
if (!$server) {
    $SIG{CHLD} = 'IGNORE';
    $SIG{PIPE} = 'IGNORE';
    while (my $socket = $listener->accept) {
        next if fork;
        close $listener;
        $socket->autoflush(1);
        converse($socket);
        POSIX::_exit(0);
    }
    POSIX::_exit(0);
}
close $listener;

my $parent = $$;
END { my $status = $?; kill KILL => $server if $server && $$ == $parent; $? = $status }

my $t = $store->nginx(url => "redis://127.0.0.1:$port", files => 1);
$t->relay(relay_config(a => $mock));
$t->start;

sub post { $t->post('/v1/chat/completions', {model => 'm', messages => []}) }

# Another line of the log, behind what was there.
my $seen = 0;
sub says {
    my ($pattern, $name, $seconds) = @_;
    my $log = '';
    ok Relay::Test::wait_for($seconds || 8, sub { ($log = substr $t->error_log, $seen) =~ $pattern }), $name or diag $log;
    return $log;
}

sub back {
    $seen = length $t->error_log;
    mode('good');
    says(qr/connected again/, 'and it connects again');
    $seen = length $t->error_log;
}

sub misbehaves {
    my ($name, $pattern, $when, $text) = @_;
    $seen = length $t->error_log;
    mode($when, $text);
    says(qr/store "redis:[^"]+": $pattern/, $name);
    is post()->status, 200, 'requests do not notice';
    back();
}

misbehaves('another protocol', 'what it answers is not RESP2', get => "HTTP/1.1 400 Bad Request\r\n\r\n");
misbehaves('more than a document may have', 'an answer is too long', get => '$' . (65 * 1024 * 1024) . "\r\n");
misbehaves('more than there can be', 'an answer is too long', get => "\$9223372036854775807\r\n");
misbehaves('a line without an end', 'an answer is too long', get => '+' . 'x' x 20_000);
misbehaves('too many values', 'an answer is too long', get => "*100000\r\n");
misbehaves('arrays in arrays', 'an answer is too long', get => "*1\r\n" x 5);
misbehaves('an end in the middle', 'closed by the server', cut => '');
misbehaves('an answer to nothing', '(?:an answer that nobody asked for|what it says is no message)', extra => "+HELLO\r\n");
misbehaves('no answer', 'no answer within 1\d\d\d ms', stall => '');
misbehaves('60 MB announced, 3 bytes sent', 'no answer within 1\d\d\d ms', get => '$' . (60 * 1024 * 1024) . "\r\nabc");
misbehaves('a server that loads its data', 'refused: LOADING \.\[31m', greet => "-LOADING \e[31m\r\n") if restart();
misbehaves('nobody signs us in', 'not connected within 2000 ms', silent => '') if restart();

# The modes that begin with a greeting need a new connection.
sub restart {
    $seen = length $t->error_log;
    mode('cut');
    says(qr/closed by the server/, 'the connection goes');
    return 1;
}

# ---- slow is not dead -------------------------------------------------------

$seen = length $t->error_log;
mode('slowly');
sleep 5;
unlike substr($t->error_log, $seen), qr/\[error\].*store/, 'an answer that comes byte by byte does not end the connection';

# ---- as long as it is away, the log stays short -----------------------------

kill KILL => $server;
waitpid $server, 0;
undef $server;
mode('cut');
says(qr/connect\(\) failed: Connection refused/, 'the server is gone');
sleep 1;
$seen = length $t->error_log;
sleep 4.5;
my @lines = grep { /store|connect\(\)/ } split /\n/, substr $t->error_log, $seen;
is scalar(@lines), 0, 'one line is enough' or diag join "\n", @lines;
is post()->status, 200, 'requests go on';

# ---- certificates and passwords ---------------------------------------------

sub refused {
    my ($name, $pattern, $other, %o) = @_;
    my $n = $other->nginx(files => 1, %o);
    $n->relay(relay_config(a => $mock));
    $n->start;
    ok Relay::Test::wait_for(5, sub { $n->error_log =~ $pattern }), $name or diag $n->error_log;
    is scalar(keys %{$other->nodes}), 0, 'and nothing is written there';
    unlike $n->error_log, qr/sesame/, 'no password in the log';
    ok $n->stop, 'it leaves';
}

my $tls = Relay::Store->new(tls => 1);
refused('a certificate for another address', qr/the certificate is not valid: it is for another address/,
    $tls, url => "rediss://127.0.0.2:$tls->{port}");
refused('plain text to TLS', qr/store "redis:[^"]+": (?:closed by the server|reading failed)/,
    $tls, url => "redis://127.0.0.1:$tls->{port}");
{
    no warnings 'redefine';
    my $stranger = $tls->write_file('stranger.pem', Relay::Test::slurp(Relay::Mock->certificate(names => ['localhost'])->{cert}));
    local *Relay::Mock::ca_file = sub { $stranger };
    refused('an unknown authority', qr/the certificate is not valid: /, $tls);
}

my $acl = Relay::Store->new(tcp => 1, acl => ['user worker on >open-sesame-1 ~* &* +@all'], user => 'worker', password => 'sesame-wrong-1');
refused('a wrong password', qr/refused: WRONGPASS/, $acl);

# ---- databases, and what is wrong with an address ---------------------------

my $three = Relay::Store->new;
my $n = $three->nginx(url => "unix:$three->{dir}/redis.sock:3");
$n->start;
$three->command('SELECT', 3);
ok Relay::Test::wait_for(5, sub { keys %{$three->nodes} }), 'database 3, over a Unix socket';

sub wrong {
    my ($url, $pattern) = @_;
    my $check = $three->nginx(url => $url)->check;
    ok !$check->{ok} && $check->{text} =~ /"relay_store" directive $pattern/, $url or diag $check->{text};
}

wrong('http://localhost', 'takes unix:');
wrong('redis://user:word@localhost', 'holds a password');
wrong('redis://', 'has an invalid host');
wrong('redis://[::1', 'has an invalid host');
wrong('redis://localhost:0', 'has an invalid port');
wrong('redis://localhost/x', 'has an invalid database');
wrong('unix:redis.sock', 'needs the full path');

Relay::Test::done();
