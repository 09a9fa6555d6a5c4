#!/usr/bin/perl

# TLS to providers: certificates are checked against the name that was meant,
# the name is sent, sessions are resumed (trap 8), and a failure is one more
# reason to ask the next provider.

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;

my $whole = chat_answer();
my $answer = sub {
    my ($req) = @_;
    my $play = $req->header('x-play') || '';
    return sse([chat_stream()], gap_ms => 20) if $play eq 'stream';
    return {body => $whole, close => 1} if $play eq 'close';
    return 'reset' if $play eq 'nth-reset' && $req->{nth};
    return {body => $whole};
};
sub provider { Relay::Mock->new(tls => {@_}, on => $answer) }

my %mock = (
    good => provider(names => ['good.test', '*.wild.test']),
    expired => provider(names => ['expired.test'], expired => 1),
    self => provider(names => ['self.test'], self_signed => 1),
    several => provider(names => ['default.test'], per_name => {'first.test' => {}, 'second.test' => {}}),
    old => provider(names => ['old.test'], version => 'TLSv1_2'),
    plain => Relay::Mock->new(on_connect => sub {
        [code => sub { $_[0]->put("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")->pause(50)->end(mock => 'close') }];
    }),
    cut => Relay::Mock->new(on_connect => sub { 'close' }),
    reset => Relay::Mock->new(on_connect => sub { 'reset' }),
    mute => Relay::Mock->new(on_connect => sub { 'hang' }),
    backup => Relay::Mock->new(on => $answer),
);
my $ca = $mock{good}->ca_file;
my $dns = Relay::Dns->new(names => {map { ($_ => {A => ['127.0.0.1']}) } qw(good.test a.wild.test a.b.wild.test
    wrong.test expired.test self.test default.test first.test second.test old.test cut.test plain.test)});

my (%host, %works);
sub host {
    my ($name, $works, $mock, $server, %more) = @_;
    $host{$name} = {base_url => "https://$server:" . $mock{$mock}->port . '/v1', tls => {ca_file => $ca, %{delete $more{tls} || {}}},
        timeouts => {connect_ms => 600, first_token_ms => 2000}, %more};
    delete $host{$name}{tls}{ca_file} unless defined $host{$name}{tls}{ca_file};
    $works{$name} = $works;
}

host('good', 1, good => 'good.test');
host('wildcard', 1, good => 'a.wild.test');
host('wildcard-too-deep', 0, good => 'a.b.wild.test');
host('wrong-name', 0, good => 'wrong.test');
host('named', 1, good => 'wrong.test', tls => {name => 'good.test'});
host('named-wrong', 0, good => 'good.test', tls => {name => 'wrong.test'});
host('address', 0, good => '127.0.0.1');
host('address-named', 1, good => '127.0.0.1', tls => {name => 'good.test'});
host('unverified', 1, good => 'wrong.test', tls => {verify => \0});
host('system-authorities', 0, good => 'good.test', tls => {ca_file => undef});
host('expired', 0, expired => 'expired.test');
host('expired-unverified', 1, expired => 'expired.test', tls => {verify => \0});
host('self-signed', 0, self => 'self.test');
host('first', 1, several => 'first.test');
host('second', 1, several => 'second.test');
host('default', 1, several => 'default.test');
host('tls-1.2', 1, old => 'old.test');
host('no-tls', 0, plain => 'plain.test');
host('cut', 0, cut => 'cut.test');
host('reset', 0, reset => 'cut.test');
host('mute', 0, mute => 'cut.test');

my $t = Relay::Test->new(resolver => $dns, http => 'relay_keepalive_timeout 300ms;');
my $config = relay_config(%host, backup => $mock{backup});
for my $name (keys %host) {
    $config->{models}{$name} = {offers => [{host => $name, id => 'up'}]};
    $config->{models}{"$name-or-backup"} = {offers => [{host => $name, id => 'up'}, {host => 'backup', id => 'up'}]};
}
# the backup is the last of the pool, whatever the order of the others
$config->{pools}{p}{members} = [(map { {key => "k$_", priority => 0} } keys %host), {key => 'kbackup', priority => 1}];
$t->relay($config)->start;

sub post {
    my ($model, %o) = @_;
    return $t->post('/v1/chat/completions', {model => $model, messages => []}, %o);
}

# ---- who is trusted ---------------------------------------------------------

for my $name (sort keys %host) {
    my $res = post($name);
    if ($works{$name}) {
        is $res->status . ' ' . $res->body, "200 $whole", "$name: answers";
        next;
    }
    is $res->status, $name eq 'mute' ? 504 : 502, "$name: an error";
    is $res->header('x-relay-error'), $name eq 'mute' ? 'upstream_timeout' : 'upstream_unreachable', "$name: marked";
    unlike $res->body, qr/certificate|SSL|TLS|verify/i, "$name: the caller is not told why";
    $res = post("$name-or-backup");
    is $res->status . ' ' . $res->header('x-relay-host'), '200 backup', "$name: the next provider answers";
    is $res->header('x-relay-attempts'), 2, "$name: in the second attempt";
}
for my $name (qw(good expired self plain)) {
    my @asked = $mock{$name}->requests;
    my @without = grep { !$_->{tls} } @asked;
    is scalar(@without), 0, "$name: no request went out without TLS";
}
is scalar(my @self = $mock{self}->requests), 0, 'nothing was said to a provider that was not trusted';
is scalar(my @expired = $mock{expired}->requests), 1, 'but to one that is not to be checked';
like $t->error_log, qr/certificate/, 'the operator is told why';

# ---- the name that is sent --------------------------------------------------

my %sni = (good => 'good.test', named => 'good.test', 'address-named' => 'good.test', unverified => 'wrong.test',
    first => 'first.test', second => 'second.test', default => 'default.test');
for my $name (sort keys %sni) {
    my ($mock) = grep { ':' . $_->port . '/v1' eq substr $host{$name}{base_url}, -length(':' . $_->port . '/v1') } values %mock;
    $mock->forget;
    post($name);
    is $mock->request(0)->{tls}{sni}, $sni{$name}, "trap 7 $name: SNI";
    my ($authority) = $host{$name}{base_url} =~ m{//([^/]+)};
    is $mock->request(0)->header('host'), $authority, "trap 7 $name: Host is the URL's";
}

# ---- sessions ---------------------------------------------------------------

for my $version (['TLSv1_3', 'good', 'good'], ['TLSv1_2', 'tls-1.2', 'old']) {
    my ($what, $host, $mock) = @$version;
    $mock = $mock{$mock};
    sleep 0.4;
    $mock->forget;
    post($host, headers => ['X-Play' => 'close']) for 1 .. 3;
    my @tls = map { $_->{tls} } $mock->requests(3);
    is $tls[$_]{version}, $what, "trap 8 $what: version, connection $_" for 0 .. 2;
    is $tls[$_]{resumed}, 1, "trap 8 $what: connection $_ resumes a session" for 1, 2;
}
{
    my $mock = $mock{several};
    sleep 0.4;
    $mock->forget;
    post($_, headers => ['X-Play' => 'close']) for qw(first second first second);
    my @req = $mock->requests(4);
    is join(' ', map { $_->{tls}{sni} } @req), 'first.test second.test first.test second.test',
        'trap 8 one address, two names: each session under its own name';
    is $req[$_]{tls}{resumed}, 1, "trap 8 connection $_ resumes" for 2, 3;
}

# ---- over one connection, and over a dead one -------------------------------

{
    my $mock = $mock{good};
    $mock->forget;
    my $res = $t->post('/v1/chat/completions', {model => 'good', messages => [], stream => \1}, headers => ['X-Play' => 'stream']);
    sse_ok chat => $res->body, 'a stream over TLS';
    cmp_ok $res->arrived(qr/\[DONE\]/) - $res->arrived(qr/assistant/), '>', 0.04, 'as it comes';
    $res = post('good');
    is join(' ', map { $_->{nth} } $mock->requests(2)), '0 1', 'and the connection is used again';
    $res = post('good', headers => ['X-Play' => 'nth-reset']);
    is $res->status . ' ' . $res->header('x-relay-attempts'), '200 1', 'trap 6 a kept TLS connection that is dead: a new one';
    is $mock->requests(4)->[-1]{nth}, 0, 'trap 6 of its own';
}

# a large body and a large answer
{
    my $big = 'x' x 3_000_000;
    my $mock = Relay::Mock->new(tls => 1, on => sub { {body => chat_answer(text => $_[0]->json->{messages}[0]{content})} });
    my $large = Relay::Test->new;
    $large->relay(relay_config(a => $mock))->start;
    my $res = $large->post('/v1/chat/completions', {model => 'm', messages => [{role => 'user', content => $big}]});
    is $res->json->{choices}[0]{message}{content}, $big, '3 MB out and back over TLS';
}

$t->done;
