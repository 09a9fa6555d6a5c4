package Relay::Client;

# HTTP clients for the tests: a raw HTTP/1.1 client that can misbehave, and
# curl for HTTP/2. Used through Relay::Test, or alone.

=head1 SYNOPSIS

    my $c = Relay::Client->new(port => 8080);
    $c->request(POST => '/v1/messages', headers => ['x-api-key' => $key],
        body => {model => 'm'});           # a reference is sent as JSON
    my $res = $c->response;                # waits; keeps the connection
    print $res->status, $res->header('content-type'), $res->body;

    $c->send("POST / HTTP/1.1\r\nHo");     # raw bytes; may be cut anywhere
    $c->send_slowly($bytes, 10, 50);       # 10 bytes each 50 ms
    $c->read_until(qr/data: /, 2);         # the answer so far, then ...
    $c->abort;                             # ... a reset; or $c->close

    Relay::Client->gather(@clients);       # reads many answers at once
    my $h2 = Relay::Client->curl(POST => $url, http2 => 'prior', body => {});

C<request> options: headers (flat list), body (bytes or reference), chunked
(true, or a list of piece sizes), host, http ("1.0"), no_length.

=cut

use strict;
use warnings;
use Carp qw(croak);
use Errno qw(EAGAIN EINTR EWOULDBLOCK);
use File::Temp ();
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use Socket qw(IPPROTO_TCP TCP_NODELAY SOL_SOCKET SO_LINGER SO_RCVBUF
    pack_sockaddr_in inet_aton PF_INET SOCK_STREAM);
use Time::HiRes qw(time sleep);

our $TIMEOUT = 10;    # seconds that response() waits at most

sub encode_json { JSON::PP->new->canonical->utf8->encode(shift) }

# Options: host, port, tls (arguments for IO::Socket::SSL), receive_buffer.
sub new {
    my ($class, %o) = @_;
    my $self = bless {host => '127.0.0.1', %o, in => '', reads => []}, $class;
    socket(my $raw, PF_INET, SOCK_STREAM, IPPROTO_TCP) or croak "socket: $!";
    setsockopt($raw, SOL_SOCKET, SO_RCVBUF, pack('i', $o{receive_buffer}))
        if $o{receive_buffer};
    connect($raw, pack_sockaddr_in($self->{port}, inet_aton($self->{host})))
        or croak "connect to $self->{host}:$self->{port}: $!";
    my $socket = IO::Socket::INET->new_from_fd(fileno($raw), 'r+') or croak "dup: $!";
    close $raw;
    if (my $tls = $o{tls}) {
        require IO::Socket::SSL;
        IO::Socket::SSL->start_SSL($socket, %$tls)
            or croak 'TLS: ' . IO::Socket::SSL::errstr();
    }
    setsockopt($socket, IPPROTO_TCP, TCP_NODELAY, pack('i', 1));
    $socket->blocking(0);
    $self->{socket} = $socket;
    return $self;
}

sub request {
    my ($self, $method, $path, %o) = @_;
    $self->send(build_request($self, $method, $path, %o));
    push @{$self->{pending}}, $method;
    return $self;
}

# The bytes of a request, for those who send them piecewise.
sub build_request {
    my ($self, $method, $path, %o) = @_;
    my $body = $o{body};
    my @headers = @{$o{headers} || []};
    my %given;
    for (my $i = 0; $i < @headers; $i += 2) { $given{lc $headers[$i]} = 1 }
    if (defined $body) {
        $body = encode_json($body) if ref $body;
        unshift @headers, 'Content-Type', 'application/json'
            unless $given{'content-type'} || $o{no_type};
        if ($o{chunked}) {
            $body = chunked($body, ref $o{chunked} ? @{$o{chunked}} : length($body) || 1);
            push @headers, 'Transfer-Encoding', 'chunked';
        }
        elsif (!$given{'content-length'} && !$o{no_length}) {
            push @headers, 'Content-Length', length $body;
        }
    }
    unshift @headers, 'Host', $o{host} || "$self->{host}:$self->{port}" unless $given{host};
    my $text = "$method $path HTTP/" . ($o{http} || '1.1') . "\r\n";
    while (my ($name, $value) = splice @headers, 0, 2) { $text .= "$name: $value\r\n" }
    return $text . "\r\n" . (defined $body ? $body : '');
}

# Chunk framing; sizes are used in turn, the last for the rest.
sub chunked {
    my ($body, @sizes) = @_;
    my ($out, $size) = ('', 1);
    while (length $body) {
        $size = shift @sizes if @sizes;
        my $piece = substr $body, 0, $size, '';
        $out .= sprintf("%x\r\n", length $piece) . "$piece\r\n";
    }
    return $out . "0\r\n\r\n";
}

# Writes everything (reading nothing meanwhile); false if the peer is gone.
sub send {
    my ($self, $bytes) = @_;
    local $SIG{PIPE} = 'IGNORE';
    my ($at, $deadline) = (0, time + $TIMEOUT);
    while ($at < length $bytes) {
        my $n = syswrite $self->{socket}, $bytes, length($bytes) - $at, $at;
        if (defined $n) { $at += $n; next }
        return 0 unless $! == EAGAIN || $! == EWOULDBLOCK || $! == EINTR;
        return 0 if time > $deadline;
        IO::Select->new($self->{socket})->can_write(0.5);
    }
    return 1;
}

sub send_slowly {
    my ($self, $bytes, $size, $pause_ms) = @_;
    for (my $at = 0; $at < length $bytes; $at += $size) {
        return 0 unless $self->send(substr $bytes, $at, $size);
        sleep $pause_ms / 1000;
    }
    return 1;
}

# One read: false at the end of the connection.
sub _read {
    my ($self, $timeout) = @_;
    my $ssl = $self->{tls} && $self->{socket}->pending;
    IO::Select->new($self->{socket})->can_read($timeout) or return 1 unless $ssl;
    my $n = sysread $self->{socket}, my $bytes, 65536;
    if (!defined $n) {
        return 1 if $! == EAGAIN || $! == EWOULDBLOCK || $! == EINTR;
        $self->{ended} = "$!";
        return 0;
    }
    if ($n == 0) { $self->{ended} = 'eof'; return 0 }
    $self->{in} .= $bytes;
    push @{$self->{reads}}, [time, $bytes];
    return 1;
}

# Reads until the bytes of the answer so far match; returns them.
sub read_until {
    my ($self, $pattern, $timeout) = @_;
    my $deadline = time + ($timeout || $TIMEOUT);
    while ($self->{in} !~ $pattern) {
        my $left = $deadline - time;
        last if $left <= 0 || $self->{ended} || !$self->_read($left);
    }
    return $self->{in};
}

# Waits until the server closes; returns the seconds it took, undef if it did not.
sub wait_close {
    my ($self, $timeout) = @_;
    my ($begin, $deadline) = (time, time + ($timeout || $TIMEOUT));
    while (!$self->{ended}) {
        my $left = $deadline - time;
        return undef if $left <= 0;
        $self->_read($left);
    }
    return time - $begin;
}

# The next answer on this connection; always a Relay::Client::Response.
sub response {
    my ($self, %o) = @_;
    my $deadline = time + ($o{timeout} || $TIMEOUT);
    my $res = $self->_response_begin;
    until ($res->_parse($self)) {
        my $left = $deadline - time;
        if ($left <= 0) { $res->{why} = 'timeout'; last }
        $self->_read($left);
    }
    return $self->_response_end($res);
}

sub _response_begin {
    my ($self) = @_;
    my $method = shift @{$self->{pending} || []};
    return $self->{current} ||= Relay::Client::Response->_new($method || 'GET', time);
}

sub _response_end {
    my ($self, $res) = @_;
    delete $self->{current};
    $res->{end} = time;
    return $res;
}

# Reads the answers of many clients at once, so that times are true for each.
sub gather {
    my ($class, @clients) = @_;
    my $timeout = @clients && !ref $clients[-1] ? pop @clients : $TIMEOUT;
    my $deadline = time + $timeout;
    my %open = map { fileno($_->{socket}) => $_ } @clients;
    my %res = map { fileno($_->{socket}) => $_->_response_begin } @clients;
    my $select = IO::Select->new(map { $_->{socket} } @clients);
    my @order = map { $res{fileno $_->{socket}} } @clients;
    while (%open) {
        my $left = $deadline - time;
        last if $left <= 0;
        for my $socket ($select->can_read($left)) {
            my $fd = fileno $socket;
            my $c = $open{$fd};
            $c->_read(0);
            next unless $res{$fd}->_parse($c);
            $select->remove($socket);
            $c->_response_end($res{$fd});
            delete $open{$fd};
        }
    }
    for my $fd (keys %open) { $res{$fd}{why} = 'timeout'; $open{$fd}->_response_end($res{$fd}) }
    return @order;
}

sub half_close { shutdown $_[0]{socket}, 1; $_[0] }

sub close {
    my ($self) = @_;
    my $socket = delete $self->{socket} or return;
    $self->{tls} ? $socket->close(SSL_no_shutdown => 1) : close $socket;
}

# Closes with a reset.
sub abort {
    my ($self) = @_;
    setsockopt $self->{socket}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0) if $self->{socket};
    $self->close;
}

# Options: http2 ('prior', 'tls' or none for HTTP/1.1), headers, body, timeout
# (seconds), args (list of further curl arguments).
sub curl {
    my ($class, $method, $url, %o) = @_;
    my $dir = File::Temp->newdir('relay-curl-XXXXXX', TMPDIR => 1);
    my @args = ('curl', '-sS', '-k', '-N', '-X', $method, '-D', "$dir/headers", '-o', "$dir/body",
        '--max-time', $o{timeout} || $TIMEOUT, '-w', '%{http_version} %{exitcode}');
    push @args, '--path-as-is', '--globoff';
    push @args, '--http2-prior-knowledge' if ($o{http2} || '') eq 'prior';
    push @args, '--http2' if ($o{http2} || '') eq 'tls';
    push @args, '--http1.1' unless $o{http2};
    push @args, '-I' if $method eq 'HEAD';
    my $body = $o{body};
    my @headers = @{$o{headers} || []};
    if (defined $body) {
        $body = encode_json($body) if ref $body;
        _spew("$dir/in", $body);
        push @args, '--data-binary', "\@$dir/in";
        push @headers, 'Content-Type', 'application/json'
            unless grep { lc eq 'content-type' } @headers;
    }
    while (my ($name, $value) = splice @headers, 0, 2) { push @args, '-H', "$name: $value" }
    my $res = Relay::Client::Response->_new($method, time);
    open my $out, '-|', @args, '-s', @{$o{args} || []}, $url or croak "curl: $!";
    my $said = do { local $/; <$out> };
    CORE::close $out;
    $res->{end} = time;
    $res->{exit} = $? >> 8;
    ($res->{http}) = ($said || '') =~ /^(\S+)/;
    $res->{raw_head} = _slurp("$dir/headers");
    $res->_head((grep {length} split /\r\n\r\n/, $res->{raw_head})[-1] || '');
    $res->{body} = _slurp("$dir/body");
    $res->{clean} = $res->{exit} == 0 ? 1 : 0;
    $res->{why} = "curl exit $res->{exit}" if $res->{exit};
    return $res;
}

sub _spew {
    my ($path, $bytes) = @_;
    open my $f, '>:raw', $path or croak "$path: $!";
    print {$f} $bytes;
    CORE::close $f or croak "$path: $!";
}

sub _slurp {
    my ($path) = @_;
    open my $f, '<:raw', $path or return '';
    local $/;
    my $text = <$f>;
    return defined $text ? $text : '';
}

sub DESTROY { local ($@, $!, $?); $_[0]->close if $_[0]{socket} }


package Relay::Client::Response;

# One answer. clean: it ended as its framing promised. why: what happened
# otherwise ("eof", "timeout", an errno text). pieces: [[time, body bytes] ...].

use strict;
use warnings;
use JSON::PP ();

sub _new {
    my ($class, $method, $begin) = @_;
    return bless {method => $method, begin => $begin, state => 'head', body => '',
        pieces => [], headers => [], clean => 0}, $class;
}

sub status { $_[0]{status} || 0 }
sub body { $_[0]{body} }
sub clean { $_[0]{clean} }
sub why { $_[0]{why} || '' }
sub http { $_[0]{http} || '' }
sub headers { $_[0]{headers} }    # [[name, value] ...] as they came
sub pieces { $_[0]{pieces} }
sub elapsed { $_[0]{end} - $_[0]{begin} }
sub first_byte { $_[0]{first} ? $_[0]{first} - $_[0]{begin} : undef }
sub framing { $_[0]{framing} || '' }    # "length", "chunked", "close", "none"

# All values of a header, in order; in scalar context the first.
sub header {
    my ($self, $name) = @_;
    my @all = map { $_->[1] } grep { lc $_->[0] eq lc $name } @{$self->{headers}};
    return wantarray ? @all : $all[0];
}

sub json {
    my ($self) = @_;
    my $value = eval { JSON::PP->new->utf8->decode($self->{body}) };
    return defined $value ? $value : {not_json => $self->{body}};
}

sub events { require Relay::Sse; Relay::Sse::parse($_[0]{body}) }

# When the event or text that matches arrived whole: seconds after the request.
sub arrived {
    my ($self, $pattern) = @_;
    my $seen = '';
    for my $piece (@{$self->{pieces}}) {
        $seen .= $piece->[1];
        return $piece->[0] - $self->{begin} if $seen =~ $pattern;
    }
    return undef;
}

sub _head {
    my ($self, $text) = @_;
    my ($line, @lines) = split /\r\n/, $text;
    ($self->{status}) = ($line || '') =~ m{^HTTP/\S+ (\d{3})};
    $self->{status_line} = $line;
    for (@lines) { push @{$self->{headers}}, [$1, $2] if /^([^:]+):[ \t]*(.*?)[ \t]*$/s }
}

# Takes what it can from the client's buffer; true when the answer is over.
sub _parse {
    my ($self, $c) = @_;
    my $in = \$c->{in};
    if ($self->{state} eq 'head') {
        $self->{first} ||= $c->{reads}[-1][0] if length $$in;
        while ($$in =~ s/\A(.*?)\r\n\r\n//s) {
            my $head = $1;
            next if $head =~ m{^HTTP/\S+ 1\d\d\b} && $head !~ m{^HTTP/\S+ 101};
            $self->_head($head);
            $self->_choose_framing;
            last;
        }
        return $self->_ended($c) if $self->{state} eq 'head';
    }
    if ($self->{state} eq 'length') {
        $self->_take($in, $self->{left});
        return $self->_over(1) if $self->{left} == 0;
    }
    elsif ($self->{state} eq 'chunked') { return 1 if $self->_chunks($in) }
    else { $self->_take($in, length $$in) }
    return $self->_ended($c);
}

sub _choose_framing {
    my ($self) = @_;
    my ($length) = $self->header('content-length');
    my ($coding) = $self->header('transfer-encoding');
    my $state = 'close';
    if ($self->{method} eq 'HEAD' || $self->{status} =~ /^(204|304)$/) { $state = 'none' }
    elsif ($coding && $coding =~ /chunked/i) { $state = 'chunked' }
    elsif (defined $length) { $state = 'length'; $self->{left} = $length }
    $self->{framing} = $state;
    if ($state eq 'none') { $state = 'length'; $self->{left} = 0 }
    $self->{state} = $state;
}

sub _take {
    my ($self, $in, $n) = @_;
    my $bytes = substr $$in, 0, $n, '';
    return unless length $bytes;
    $self->{left} -= length $bytes if defined $self->{left};
    $self->{body} .= $bytes;
    push @{$self->{pieces}}, [Time::HiRes::time(), $bytes];
}

sub _chunks {
    my ($self, $in) = @_;
    while (1) {
        if (!defined $self->{left}) {
            $$in =~ s/\A([0-9a-fA-F]+)[^\r\n]*\r\n// or last;
            my $size = hex $1;
            $self->{left} = $size if $size;
            next if $size;
            $self->{left} = -1;
        }
        if ($self->{left} == -1) {
            $$in =~ s/\A((?:[^\r\n]+\r\n)*)\r\n// or last;
            return $self->_over(1);
        }
        $self->_take($in, $self->{left}) if $self->{left};
        last unless $self->{left} == 0 && $$in =~ s/\A\r\n//;
        delete $self->{left};
    }
    return 0;
}

sub _ended {
    my ($self, $c) = @_;
    return 0 unless $c->{ended};
    $self->{why} = $c->{ended};
    return $self->_over($self->{state} eq 'close' && $c->{ended} eq 'eof');
}

sub _over {
    my ($self, $clean) = @_;
    $self->{clean} = $clean ? 1 : 0;
    return 1;
}

1;
