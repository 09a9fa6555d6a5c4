package Relay::Http2;

# HTTP/2 requests without TLS, for what curl cannot show: bodies without a
# length, answers that come before the body was sent, and one connection that is
# certainly used again. Reads the status and the body of an answer; its other
# headers stay packed.

=head1 SYNOPSIS

    my $res = Relay::Http2->ask($port, POST => '/v1/messages',
        headers => ['x-api-key' => $key], body => $bytes, length => 0);
    is $res->status, 413;       # also body, json, elapsed, clean (it ended well)
    is $res->{sent}, 65535;     # bytes of the body; reset: the code of RST_STREAM

    my $c = Relay::Http2->new($port);   # one connection
    $c->ask(POST => '/v1/messages', ...) for 1 .. 3;    # one after the other

Options: length (0: no content-length), piece (bytes of a frame), hold (seconds
between the head and the body), unfinished (the body does not end), timeout.

=cut

use strict;
use warnings;
use Carp qw(croak);
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(time);

use constant {
    DATA => 0, HEADERS => 1, RST_STREAM => 3, SETTINGS => 4, PING => 6, GOAWAY => 7,
    WINDOW_UPDATE => 8, CONTINUATION => 9, END_STREAM => 1, ACK => 1, END_HEADERS => 4};

my %static_status = (8 => 200, 9 => 204, 10 => 206, 11 => 304, 12 => 400, 13 => 404, 14 => 500);

sub frame {
    my ($type, $flags, $stream, $payload) = @_;
    return substr(pack('N', length $payload), 1) . pack('CCN', $type, $flags, $stream) . $payload;
}

# An HPACK string, not Huffman-coded: its length with a prefix of 7 bits.
sub string {
    my ($text) = @_;
    my $n = length $text;
    return chr($n) . $text if $n < 127;
    my $out = chr 127;
    for ($n -= 127; $n >= 128; $n >>= 7) { $out .= chr(128 | $n & 127) }
    return $out . chr($n) . $text;
}

sub new {
    my ($class, $port) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or croak "connect: $!";
    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, pack 'i', 1;
    my $self = bless {
        socket => $socket, port => $port, in => '', stream => -1, window => 65535, initial => 65535}, $class;
    $self->put("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            . frame(SETTINGS, 0, 0, pack 'nN', 4, 1 << 24)
            . frame(WINDOW_UPDATE, 0, 0, pack 'N', 1 << 30));
    return $self;
}

# On a connection, or by the class on one of its own, to a port.
sub ask {
    my $self = shift;
    $self = $self->new(shift) unless ref $self;
    my ($method, $path, %o) = @_;
    my $body = $o{body};
    my @headers = (
        ':method' => $method, ':scheme' => 'http', ':authority' => "127.0.0.1:$self->{port}", ':path' => $path,
        @{$o{headers} || []});
    push @headers, 'content-type' => 'application/json' if defined $body && !grep { lc eq 'content-type' } @headers;
    push @headers, 'content-length' => length $body if defined $body && !(exists $o{length} && !$o{length});
    my $block = '';
    while (my ($name, $value) = splice @headers, 0, 2) { $block .= "\0" . string(lc $name) . string($value) }
    $self->{stream} += 2;
    $self->{res} = bless {body => ''}, 'Relay::Http2::Answer';
    @$self{qw(left begin sent stream_window)} = (defined $body ? $body : '', time, 0, $self->{initial});
    @$self{qw(piece open unfinished hold)}
        = ($o{piece} || 16384, defined $body ? 1 : 0, $o{unfinished}, time + ($o{hold} || 0));
    $self->put(frame(HEADERS, END_HEADERS | ($self->{open} ? 0 : END_STREAM), $self->{stream}, $block))
        or $self->{gone} = 1;
    return $self->run(time + ($o{timeout} || 10));
}

# False if the server has gone.
sub put {
    my ($self, $bytes) = @_;
    local $SIG{PIPE} = 'IGNORE';
    while (length $bytes) {
        my $n = syswrite $self->{socket}, $bytes or return 0;
        substr $bytes, 0, $n, '';
    }
    return 1;
}

sub run {
    my ($self, $deadline) = @_;
    my $res = $self->{res};
    my $select = IO::Select->new($self->{socket});
    while (time < $deadline && !$res->{ended} && !defined $res->{reset} && !$self->{gone}) {
        my $can = $self->{open} && time >= $self->{hold} && $self->send_data;
        next unless $select->can_read($can ? 0 : 0.02);
        sysread $self->{socket}, $self->{in}, 65536, length $self->{in} or $self->{gone} = 1;
        $self->read_frames;
    }
    $res->{gone} = $self->{gone};
    $res->{sent} = $self->{sent};
    $res->{elapsed} = time - $self->{begin};
    return $res;
}

# True if there may be more to send at once.
sub send_data {
    my ($self) = @_;
    my $room = (sort { $a <=> $b } $self->{window}, $self->{stream_window}, $self->{piece}, length $self->{left})[0];
    return 0 if length $self->{left} && $room <= 0;
    my $piece = substr $self->{left}, 0, $room, '';
    my $last = !length $self->{left};
    return 0 if $last && $self->{unfinished} && !length $piece;
    $self->{open} = 0 if $last && !$self->{unfinished};
    $self->put(frame(DATA, $last && !$self->{unfinished} ? END_STREAM : 0, $self->{stream}, $piece)) or $self->{open} = 0;
    $self->{$_} -= length $piece for qw(window stream_window);
    $self->{sent} += length $piece;
    return $self->{open};
}

sub read_frames {
    my ($self) = @_;
    while (length $self->{in} >= 9) {
        my ($high, $low, $type, $flags, $stream) = unpack 'CnCCN', $self->{in};
        my $length = $high << 16 | $low;
        last if length $self->{in} < 9 + $length;
        my $payload = substr $self->{in}, 9, $length;
        substr $self->{in}, 0, 9 + $length, '';
        $self->take($type, $flags, $stream & 0x7fffffff, $payload);
    }
}

sub take {
    my ($self, $type, $flags, $stream, $payload) = @_;
    my $res = $self->{res};
    if ($type == SETTINGS && !($flags & ACK)) {
        while (length $payload >= 6) {
            my ($id, $value) = unpack 'nN', substr $payload, 0, 6, '';
            next unless $id == 4;
            $self->{stream_window} += $value - $self->{initial};
            $self->{initial} = $value;
        }
        $self->put(frame(SETTINGS, ACK, 0, ''));
    }
    elsif ($type == PING && !($flags & ACK)) { $self->put(frame(PING, ACK, 0, $payload)) }
    elsif ($type == WINDOW_UPDATE) { $self->{$stream ? 'stream_window' : 'window'} += unpack 'N', $payload if !$stream || $stream == $self->{stream} }
    elsif ($type == GOAWAY) { $self->{gone} = 1 }
    elsif ($stream == $self->{stream}) {
        if ($type == HEADERS) { $res->{status} = status_of($payload) }
        elsif ($type == DATA) { $res->{body} .= $payload }
        elsif ($type == RST_STREAM) { $res->{reset} = unpack 'N', $payload }
        $res->{ended} = 1 if ($type == HEADERS || $type == DATA) && $flags & END_STREAM;
    }
}

# The first field of the block: from the static table, or a literal of three
# digits under the name of its entry 8. A change of the table's size may precede.
sub status_of {
    my ($block) = @_;
    $block =~ s/\A[\x20-\x3f]//;
    my $first = ord $block;
    return $static_status{$first & 127} || 0 if $first & 128;
    return $block =~ /\A[\x08\x18\x48]\x03(\d\d\d)/ ? $1 : 0;
}

package Relay::Http2::Answer;

use strict;
use warnings;

sub status { $_[0]{status} || 0 }
sub body { $_[0]{body} }
sub clean { $_[0]{ended} ? 1 : 0 }
sub elapsed { $_[0]{elapsed} }

sub why {
    my ($self) = @_;
    return defined $self->{reset} ? "reset with code $self->{reset}" : $self->{gone} ? 'connection closed' : 'timeout';
}

sub json {
    my ($self) = @_;
    my $value = eval { JSON::PP->new->utf8->decode($self->{body}) };
    return defined $value ? $value : {not_json => $self->{body}};
}

1;
