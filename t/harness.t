#!/usr/bin/perl

# The harness itself: plain nginx before the mock, no module of ours.

use lib 't/lib';
use Relay::Test;

my $mock = Relay::Mock->new(idle_ms => 3000, on => sub {
    my ($req) = @_;
    my %answer = (
        '/length' => {body => {hello => 'world'}},
        '/chunked' => {body => 'abcdefghij' x 100, chunked => [1, 7, 300], type => 'text/plain'},
        '/gzip' => {body => 'x' x 1000, gzip => 1},
        '/reset' => 'reset',
        '/cut' => {length => 100, body => 'short', steps => ['close']},
        '/raw' => {raw => "HTTP/1.1 299 Raw\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 2\r\n\r\nok", keep => 1},
        '/hang' => 'hang',
        '/flag' => {body => $req->flag('said')},
        '/stream' => sse([chat_stream(text => [1 .. 3])], gap_ms => 60),
        '/bytes' => sse([messages_stream()], cut => [1, 2, 3, 50], cut_ms => 2),
        '/lost' => sse([responses_stream()], end => 'reset', after_ms => 50),
        '/count' => {body => join ' ', map { $req->{$_} } qw(seq key_seq path_seq nth)},
    );
    return $answer{$req->path} || {status => 404, body => $req->json};
});
my $port = $mock->port;
my $t = Relay::Test->new(module => 0, http2 => 1, tls => 1,
    http => "upstream mock { server 127.0.0.1:$port; keepalive 4; }",
    pass => 'proxy_pass http://mock;',
    location => 'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;',
    server => 'location = /static { return 204; } location = /page { return 200 "page"; }');
ok $t->check->{ok}, 'nginx -t likes the configuration';
$t->start;

subtest 'answers and records' => sub {
    my $res = $t->post('/length', {model => 'm'}, headers => ['X_Odd' => 'a', 'X-Two' => 1, 'X-Two' => 2]);
    is $res->status, 200, 'status';
    is_deeply $res->json, {hello => 'world'}, 'body';
    is $res->framing, 'length', 'framing';
    ok $res->clean, 'a clean end';
    my $req = $mock->request(0);
    is $req->method . ' ' . $req->path, 'POST /length', 'method and path';
    is $req->body, '{"model":"m"}', 'body';
    is $req->key, RELAY_KEY, 'key';
    is_deeply [$req->header('x-two')], [1, 2], 'repeated header';
    is $t->log(0)->{status}, 200, 'access log';
};

subtest 'framing' => sub {
    my $res = $t->get('/chunked');
    is $res->framing, 'chunked', 'chunked';
    is $res->body, 'abcdefghij' x 100, 'its body';
    $res = $t->get('/gzip');
    is $res->header('content-encoding'), 'gzip', 'gzip';
    $res = $t->get('/raw');
    is $res->status, 299, 'raw status';
    is_deeply [$res->header('x-a')], [1, 2], 'raw headers';
    ok !$t->get('/cut')->clean, 'an answer cut short is not clean';
    is $t->get('/reset')->status, 502, 'a reset is a bad gateway';
    is $t->get('/static')->status, 204, 'no body';
    is $t->ask(HEAD => '/page')->body, '', 'HEAD';
    $res = $t->post('/other', 'zzz', chunked => [1, 2]);
    is_deeply $res->json, {not_json => 'zzz'}, 'chunked request';
};

subtest 'streams and time' => sub {
    my $res = $t->get('/stream');
    sse_ok chat => $res->body, 'chat stream';
    is Relay::Sse::text('chat', $res->body), '123', 'its text';
    cmp_ok $res->arrived(qr/\[DONE\]/) - $res->arrived(qr/assistant/), '>', 0.25, 'events have times';
    sse_ok messages => $t->get('/bytes')->body, 'cut messages stream';
    $res = $t->get('/lost');
    ok !$res->clean, 'a reset stream';
    sse_ok responses => $res->body, 'whole all the same';
    my @clients = map { $t->client->request(GET => '/stream') } 1 .. 5;
    my @all = Relay::Client->gather(@clients);
    is scalar(grep { $_->clean } @all), 5, 'five at once';
    ok !(grep { $_->elapsed > 1 } @all), 'side by side';
};

subtest 'connections' => sub {
    $mock->flag(said => 'one');
    is $t->get('/flag')->body, 'one', 'flag';
    $mock->flag(said => 'two');
    is $t->get('/flag')->body, 'two', 'flag changed';
    my ($seq, $key, $path, $nth) = split / /, $t->get('/count')->body;
    is $path, 0, 'count of the path';
    cmp_ok $seq, '>', 10, 'count of all';
    cmp_ok $nth, '>', 0, 'kept connection';
    my $c = $t->client;
    $c->send("GET /page HTTP/1.1\r\nHost: a\r\n\r\nGET /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    is $c->response->body, 'page', 'pipelined, first';
    is $c->response->body, 'page', 'pipelined, second';
    ok defined $c->wait_close(2), 'and closed';
    my $before = $mock->requests;
    $c = $t->client->request(GET => '/hang');
    my $hung = $mock->requests(@$before + 1)->[-1];
    my $at = time;
    $c->abort;
    my $connection = $mock->connection($hung->conn);
    is $connection->{closed_by}, 'peer', 'an abort reaches the mock';
    cmp_ok $connection->{closed} - $at, '<', 0.2, 'soon';
};

subtest 'HTTP/2' => sub {
    for my $how (qw(http2 tls_http2)) {
        my $res = $t->post('/length', {model => 'm'}, $how => 1);
        is $res->status, 200, "$how status";
        is $res->http, 2, "$how version";
        ok $res->clean, "$how end";
    }
};

subtest 'ports without an answer' => sub {
    my $refused = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => Relay::Mock->refused, Timeout => 1);
    ok !$refused, 'refused';
    my $begin = time;
    my $silent = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => Relay::Mock->blackhole, Timeout => 1);
    ok !$silent, 'black hole';
    cmp_ok time - $begin, '>', 0.9, 'it took its time';
};

subtest 'TLS, names' => sub {
    my $dns = Relay::Dns->new(names => {'mock.test' => {A => ['127.0.0.1'], ttl => 1}});
    my $tls = Relay::Mock->new(tls => {names => ['mock.test']}, on => sub { {body => $_[0]{tls}{sni}} });
    my $t2 = Relay::Test->new(module => 0, resolver => $dns, http => 'proxy_ssl_server_name on;'
        . ' proxy_ssl_verify on; proxy_ssl_trusted_certificate ' . $tls->ca_file . ';',
        pass => 'set $name mock.test; proxy_pass https://$name:' . $tls->port . ';');
    $t2->start;
    is $t2->get('/')->body, 'mock.test', 'verified, with its name';
    is $tls->connection(0)->{tls}{sni}, 'mock.test', 'SNI recorded';
    cmp_ok $dns->queries('mock.test'), '>=', 1, 'name server asked';
    $dns->set('mock.test', rcode => 3);
    sleep 2.2;   # nginx keeps times in whole seconds
    is $t2->get('/')->status, 502, 'name gone';
    my $expired = Relay::Mock->certificate(names => ['mock.test'], expired => 1);
    like qx{openssl verify -CAfile ${\$tls->ca_file} $expired->{cert} 2>&1}, qr/expired/, 'an expired certificate';
};

subtest 'reload' => sub {
    ok $t->reload, 'new workers';
    is $t->get('/page')->body, 'page', 'serve';
};

$t->done;
