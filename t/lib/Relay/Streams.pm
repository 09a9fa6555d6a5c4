package Relay::Streams;

# What the stream tests (t/stream_*.t, t/reload.t) share: the three dialects as
# data, streams with characters of every UTF-8 length, a mock that plays what
# the request asks for, and the access log entry of one request.

=head1 SYNOPSIS

    use Relay::Test;
    use Relay::Streams;

    my $mock = player(whole => sub { sse([authored($_[1])]) });   # ($req, words)
    my $res = ask($t, chat => 'whole chat', body => {n => 2});    # x-play: whole chat
    logged($t, $res, {status => 200, error => ''}, 'F15 its log');
    my @parts = authored('messages');      # one string per event
    my $text = joined(@parts);

C<ask> options: client (a Relay::Client or Relay::Http2 whose connection is kept), headers,
body (further members; "text" instead of all), http2, tls_http2, timeout.
C<begin> sends and returns the client, for those who read for themselves or
have many read at once: C<finish(seconds, clients)>.

=cut

use strict;
use warnings;
use utf8;
use Exporter qw(import);
use IO::Select;
use JSON::PP ();
use Test::More ();
use Time::HiRes qw(time sleep);

use Relay::Client;
use Relay::Http2;
use Relay::Mock;
use Relay::Sse;

our @EXPORT = qw(dialects authored joined spent without_usage request_body path_of player tls_host ask begin
    finish entry logged same_bytes whole_events error_of success_mark curl_begin until_true first_worker
    delays lateness median percentile);

my $json = JSON::PP->new->canonical->utf8;
my $reader = JSON::PP->new->utf8;
my $asked = 0;

# ---- the dialects -----------------------------------------------------------

my %path = (chat => '/v1/chat/completions', responses => '/v1/responses', messages => '/v1/messages');

# What the access log must say of an authored stream that ended well.
my %spent = (
    chat => {input_tokens => 11, output_tokens => 7, cached_tokens => 3, finish_reason => 'tool_calls'},
    responses => {input_tokens => 11, output_tokens => 7, cached_tokens => 3, finish_reason => 'completed'},
    messages => {input_tokens => 16, output_tokens => 7, cached_tokens => 3, finish_reason => 'tool_use'},
);

# What a good stream of the dialect ends with, and a failed one never holds.
my %success = (chat => qr/^data: \[DONE\]/m, responses => qr/^event: response\.completed/m,
    messages => qr/^event: message_stop/m);

sub dialects { qw(chat responses messages) }
sub path_of { $path{$_[0]} }
sub spent { $spent{$_[0]} }
sub success_mark { $success{$_[0]} }
sub joined { join '', @_ }

sub request_body {
    my ($dialect, %more) = @_;
    my @turn = ({role => 'user', content => 'Hi'});
    return {model => 'm', stream => JSON::PP::true(),
        $dialect eq 'responses' ? (input => 'Hi') : (messages => \@turn),
        $dialect eq 'messages' ? (max_tokens => 100) : (), %more};
}

# A stream with characters of 2, 3 and 4 bytes in text and in tool arguments.
sub authored {
    my ($dialect) = @_;
    my @text = ('naïve ', '漢字', ' 🙂');
    my @tool = ('call_1', 'find', '{"q":"é', '漢', '🙂"}');
    return chat_stream(text => \@text, tools => [\@tool], usage => {prompt_tokens => 11,
        completion_tokens => 7, total_tokens => 18, prompt_tokens_details => {cached_tokens => 3}})
        if $dialect eq 'chat';
    return messages_stream(text => \@text, tools => [\@tool], ping => 1, usage => {input_tokens => 11,
        cache_read_input_tokens => 3, cache_creation_input_tokens => 2, output_tokens => 7})
        if $dialect eq 'messages';
    return _authored_responses(\@text, @tool);
}

sub _authored_responses {
    my ($text, $call, $name, @arguments) = @_;
    my $n = 0;
    my $named = sub { my ($type, %rest) = @_; event($type, {type => $type, sequence_number => $n++, %rest}) };
    my $response = sub {
        my ($status, $usage, @output) = @_;
        return {id => 'resp_1', object => 'response', created_at => 1700000000, model => 'up',
            status => $status, output => \@output, usage => $usage};
    };
    my ($said, $args) = (join('', @$text), join '', @arguments);
    my %at = (output_index => 0, item_id => 'msg_1', content_index => 0);
    my %fn = (output_index => 1, item_id => 'fc_1');
    my $part = sub { {type => 'output_text', text => $_[0], annotations => [], logprobs => []} };
    my $item = sub { {type => 'message', id => 'msg_1', role => 'assistant', status => $_[0], content => $_[1]} };
    my $tool = sub { {type => 'function_call', id => 'fc_1', call_id => $call, name => $name,
        status => $_[0], arguments => $_[1]} };
    my @whole = ($item->('completed', [$part->($said)]), $tool->('completed', $args));
    return ($named->('response.created', response => $response->('in_progress')),
        $named->('response.output_item.added', output_index => 0, item => $item->('in_progress', [])),
        $named->('response.content_part.added', %at, part => $part->('')),
        (map { $named->('response.output_text.delta', %at, delta => $_, logprobs => []) } @$text),
        $named->('response.output_text.done', %at, text => $said, logprobs => []),
        $named->('response.content_part.done', %at, part => $part->($said)),
        $named->('response.output_item.done', output_index => 0, item => $whole[0]),
        $named->('response.output_item.added', output_index => 1, item => $tool->('in_progress', '')),
        (map { $named->('response.function_call_arguments.delta', %fn, delta => $_) } @arguments),
        $named->('response.function_call_arguments.done', %fn, arguments => $args),
        $named->('response.output_item.done', output_index => 1, item => $whole[1]),
        $named->('response.completed', response => $response->('completed', {input_tokens => 11,
            input_tokens_details => {cached_tokens => 3}, output_tokens => 7, total_tokens => 18}, @whole)));
}

# The stream as a chat caller sees it who did not ask for usage.
sub without_usage { grep { !/"choices":\[\],.*"usage":\{/ } @_ }

# ---- the provider -----------------------------------------------------------

# Entries are answers, or code that gets the request and the words behind the
# name in its x-play header.
sub player {
    my $options = ref $_[0] eq 'HASH' ? shift : {};
    my (%plays) = @_;
    return Relay::Mock->new(%$options, on => sub {
        my ($req) = @_;
        my ($name, @words) = split / /, $req->header('x-play') || '';
        my $play = $plays{defined $name ? $name : ''};
        return {status => 500, body => {error => {message => 'no such play'}}} unless $play;
        return ref $play eq 'CODE' ? $play->($req, @words) : $play;
    });
}

# A TLS mock as a host of relay_config.
sub tls_host {
    my ($mock) = @_;
    return {mock => $mock, tls => {ca_file => $mock->ca_file, name => 'localhost'}};
}

# ---- the caller -------------------------------------------------------------

sub _request {
    my ($dialect, $play, $o) = @_;
    my $body = $o->{body} || {};
    $body = $json->encode(request_body($dialect, %$body)) if ref $body;
    my $id = 't' . $$ . '-' . ++$asked;
    return ($id, $body, ['x-play' => $play, 'x-relay-request-id' => $id, @{$o->{headers} || []}]);
}

sub _key { Relay::Test::auth($_[0] eq 'messages' ? 'x-api-key' : 'bearer') }

sub ask {
    my ($t, $dialect, $play, %o) = @_;
    my ($id, $body, $headers) = _request($dialect, $play, \%o);
    my $res;
    if (my $c = $o{client}) {
        if ($c->isa('Relay::Http2')) {
            $res = $c->ask(POST => $path{$dialect}, headers => [@{_key($dialect)}, @$headers], body => $body);
            $res->{id} = $id;
            return $res;
        }
        _reconnect($t, $c);
        $c->request(POST => $path{$dialect}, headers => [@{_key($dialect)}, @$headers], body => $body);
        $res = $c->response;
        $c->{ended} ||= 'close' if lc($res->header('connection') || '') eq 'close';
    }
    else {
        my %how = map { $_ => $o{$_} } grep { exists $o{$_} } qw(http2 tls_http2 timeout args);
        $res = $t->post($path{$dialect}, $body, headers => $headers, %how);
    }
    $res->{id} = $id;
    return $res;
}

# A kept connection is opened again only if the last answer said that it would
# be closed: after any other the server must take the next request.
sub _reconnect {
    my ($t, $c) = @_;
    return unless ($c->{ended} || '') eq 'close';
    $c->close;
    my $new = $t->client;
    %$c = %$new;
    delete $new->{socket};
}

sub begin {
    my ($t, $dialect, $play, %o) = @_;
    my ($id, $body, $headers) = _request($dialect, $play, \%o);
    my $c = $o{client} || $t->client(%{$o{connection} || {}});
    $c->request(POST => $path{$dialect}, headers => [@{_key($dialect)}, @$headers], body => $body);
    @$c{qw(id sent_at)} = ($id, time);
    return $c;
}

# The answers of clients from begin(), read side by side; in their order.
sub finish {
    my ($seconds, @clients) = @_;
    my @all = Relay::Client->gather(@clients, $seconds);
    @{$all[$_]}{qw(id begin)} = @{$clients[$_]}{qw(id sent_at)} for 0 .. $#all;
    return @all;
}

# curl over HTTP/2 as a process: {pid, out, id}; kill it to cancel the stream.
sub curl_begin {
    my ($t, $dialect, $play, %o) = @_;
    my ($id, $body, $headers) = _request($dialect, $play, \%o);
    my @headers = (@{_key($dialect)}, @$headers, 'Content-Type' => 'application/json');
    my @args = ('curl', '-sSN', '--http2-prior-knowledge', '--max-time', 10, '--data-binary', $body);
    while (my ($name, $value) = splice @headers, 0, 2) { push @args, '-H', "$name: $value" }
    my $pid = open my $out, '-|', @args, $t->http2_url . $path{$dialect} or die "curl: $!";
    return {pid => $pid, out => $out, id => $id};
}

# nginx listens a moment before its workers are there.
sub first_worker {
    my ($t) = @_;
    my $worker;
    until_true(3, sub { ($worker) = $t->workers });
    return $worker;
}

# Polls more closely than wait_for does.
sub until_true {
    my ($seconds, $done) = @_;
    my $deadline = time + $seconds;
    until ($done->()) {
        return 0 if time > $deadline;
        sleep 0.002;
    }
    return 1;
}

# ---- what was logged --------------------------------------------------------

# The access log entry of an answer, or of a request id.
sub entry {
    my ($t, $res) = @_;
    my $id = ref $res ? $res->{id} : $res;
    my $line = '';
    until_true(3, sub {
        my $log = Relay::Test::slurp($t->dir . '/access.log');
        my $at = index $log, "\"$id\"";
        my $end = $at < 0 ? -1 : index $log, "\n", $at;
        return 0 if $end < 0;
        my $begin = rindex($log, "\n", $at) + 1;
        $line = substr $log, $begin, $end - $begin;
        return 1;
    });
    return $line ? $reader->decode($line) : {};
}

# Values are text, or patterns.
sub logged {
    my ($t, $res, $wanted, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $got = entry($t, $res);
    my @faults;
    for my $field (sort keys %$wanted) {
        my ($is, $want) = ($got->{$field}, $wanted->{$field});
        $is = '(none)' unless defined $is;
        push @faults, "$field is '$is', expected '$want'" unless ref $want ? $is =~ $want : $is eq $want;
    }
    return Test::More::ok(!@faults, $name) || Test::More::diag(join "\n", @faults);
}

# Like is(), for long texts: says where they part.
sub same_bytes {
    my ($got, $wanted, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $same = Test::More::ok($got eq $wanted, $name);
    return $same if $same;
    my $at = 0;
    $at++ while $at < length $got && $at < length $wanted && substr($got, $at, 1) eq substr $wanted, $at, 1;
    my $from = $at > 60 ? $at - 60 : 0;
    Test::More::diag('lengths ' . length($got) . ' and ' . length($wanted) . ", different from byte $at on",
        "\n     got: ...", substr($got, $from, 200), "\nexpected: ...", substr $wanted, $from, 200);
    return $same;
}

# ---- reading streams --------------------------------------------------------

# How late each event came, in milliseconds, by client. Reading is all that
# happens meanwhile, so that the times are those of the events.
sub delays {
    my ($seconds, @clients) = @_;
    my (%open, %tail, %pieces);
    $open{fileno $_->{socket}} = $_->{socket} for @clients;
    my @order = map { fileno $_->{socket} } @clients;
    my $select = IO::Select->new(values %open);
    my $deadline = time + $seconds;
    while (%open && time < $deadline) {
        for my $socket ($select->can_read(0.1)) {
            my $n = sysread $socket, my $bytes, 65536;
            push @{$pieces{fileno $socket}}, [time, $bytes];
            my $tail = $tail{fileno $socket} = substr +($tail{fileno $socket} || '') . $bytes, -7;
            next if $n && $tail ne "\r\n0\r\n\r\n";
            $select->remove($socket);
            delete $open{fileno $socket};
        }
    }
    return map { [lateness(@{$pieces{$_} || []})] } @order;
}

sub lateness { map { my ($at, $bytes) = @$_; map { 1000 * ($at - $_) } $bytes =~ /sent=([\d.]+)/g } @_ }

# How many of the parts are whole in the first bytes of the stream.
sub whole_events {
    my ($bytes, @parts) = @_;
    my ($count, $at) = (0, 0);
    for (@parts) {
        $at += length;
        last if $at > $bytes;
        $count++;
    }
    return $count;
}

# The error that ends the stream: {type or code, message, sequence_number}, or
# undef if its last event is none.
sub error_of {
    my ($dialect, $bytes) = @_;
    my ($last) = reverse Relay::Sse::events($bytes);
    my $j = $last && defined $last->{data} ? eval { $reader->decode($last->{data}) } : undef;
    return undef unless ref $j eq 'HASH';
    my $error = $dialect eq 'responses' && $j->{response} ? $j->{response}{error} : $j->{error};
    return undef unless ref $error eq 'HASH';
    return {%$error, event => $last->{event}, sequence_number => $j->{sequence_number}, whole => $j};
}

sub percentile {
    my ($part, @values) = @_;
    @values = sort { $a <=> $b } @values;
    my $i = int($part * @values);
    return $values[$i < $#values ? $i : $#values];
}

sub median { percentile(0.5, @_) }

1;
