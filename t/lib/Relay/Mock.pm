package Relay::Mock;

# A scripted HTTP/1.1 provider in processes of its own: answers, stalls, cuts,
# resets, lies, and records whole every request and connection that it saw.

=head1 SYNOPSIS

    my $mock = Relay::Mock->new(on => sub {
        my ($req) = @_;                       # method path headers body conn nth
        return 'reset' if $req->key eq 'bad'; # seq key_seq path_seq time tls
        return {status => 429, headers => ['Retry-After', 7], body => {error => {}}};
    });
    my $url = $mock->url;                     # http://127.0.0.1:PORT
    my $mock = Relay::Mock->new(answers => [$first, $second, $all_others]);
    my $tls = Relay::Mock->new(tls => {names => ['api.test']});   # $mock->ca_file
    my $many = Relay::Mock->new(listen => ['127.0.0.1', '127.0.0.2'], on => ...);
    my $port = Relay::Mock->blackhole;        # connects time out
    my $port = Relay::Mock->refused;          # connects are refused
    is $mock->requests(2)->[1]->header('host'), '...';   # waits for 2
    is $mock->connection(0)->{closed_by}, 'peer';        # opened closed how sent

An answer is 'reset', 'close', 'hang' (never answers) or a hash: status, reason,
headers (flat), type, body (bytes or reference), gzip, chunked (true or chunk
sizes), length (a lie, or undef for none), delay_ms, close (Connection: close),
raw (all bytes, no framing of ours), steps (after head and instead of body):
[send => bytes], [cut => bytes, \@offsets, ms] (one segment between offsets),
[sleep => ms], [chunk => bytes] (chunk framing; '' ends), [code => sub { $_[0] is
the connection; $_[0]->put(bytes) }], 'reset', 'close', 'hang'.
C<sse(\@parts, %o)> makes an event stream answer: gap_ms between parts, chunk_each,
cut (offsets of the joined text), cut_ms, framing (chunked, close, length), gzip,
end ('good', or 'reset', 'close', 'hang' instead of the end), after_ms, status, headers.

Callbacks run in the mock's processes: to change what it does later, set
C<< $mock->flag(name => value) >> here and read C<< $req->flag('name') >> there.
Further options: on_connect => sub { ($number) = @_; 'reset' | 'close' | 'hang' |
undef }, before anything is read; idle_ms: closes idle kept connections.

=cut

use strict;
use warnings;
use Carp qw(croak);
use Exporter qw(import);
use Fcntl qw(:flock O_APPEND O_CREAT O_RDWR);
use File::Temp ();
use IO::Select;
use IO::Socket::INET;
use IO::Socket::IP;
use JSON::PP ();
use POSIX ();
use Socket qw(IPPROTO_TCP TCP_NODELAY SOL_SOCKET SO_LINGER SO_RCVBUF SO_SNDBUF MSG_PEEK);
use Storable ();
use Time::HiRes qw(time sleep);

our @EXPORT = qw(sse);
our @ALL;        # live mocks, for Relay::Test's last checks
our @REFUSED;    # bound, not listening

sub new {
    my ($class, %o) = @_;
    my $self = bless {%o, dir => File::Temp->newdir('relay-mock-XXXXXX', TMPDIR => 1),
        owner => $$, read_at => 0, requests => [], connections => []}, $class;
    $self->{log} = "$self->{dir}/log";
    _append($self->{log}, '');
    $self->_make_tls if $o{tls};
    my @addresses = ref $o{listen} ? @{$o{listen}} : ('127.0.0.1');
    my $port = $o{port} || 0;
    for my $address (@addresses) {
        my $socket = IO::Socket::IP->new(LocalHost => $address, LocalPort => $port, Listen => 128,
            Proto => 'tcp', ReuseAddr => 1) or croak "listen on $address:$port: $@";
        $port ||= $socket->sockport;
        push @{$self->{sockets}}, $socket;
    }
    $self->{port} = $port;
    $self->{address} = $addresses[0];
    $self->start;
    push @ALL, $self;
    return $self;
}

sub start {
    my ($self) = @_;
    my $pid = fork;
    croak "fork: $!" unless defined $pid;
    if (!$pid) {
        setpgrp;
        # a callback that dies must not run the test's own END blocks
        eval { $self->_serve; 1 } or print STDERR "mock: $@";
        POSIX::_exit(0);
    }
    $self->{pid} = $pid;
    close $_ for @{delete $self->{sockets}};
}

# Stops listening and answering; open connections break.
sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    return if $self->{owner} != $$;
    kill KILL => -$pid;
    kill KILL => $pid;
    waitpid $pid, 0;
    $self->{stopped} = 1;
}

sub DESTROY { local ($@, $!, $?); $_[0]->stop }

sub port { $_[0]{port} }
sub url { my ($self) = @_; ($self->{tls} ? 'https' : 'http') . "://$self->{address}:$self->{port}" }
sub authority { "$_[0]{address}:$_[0]{port}" }
sub ca_file { ca()->{cert} }
sub tls_name { my ($tls) = $_[0]{tls}; ref $tls && $tls->{names} ? $tls->{names}[0] : 'localhost' }

# A port of 127.0.0.1 where nobody listens, held as long as the test lives.
sub refused {
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'tcp') or croak "bind: $@";
    push @REFUSED, $socket;
    return $socket->sockport;
}

# A port whose accept queue is full: a connect gets no answer at all.
sub blackhole {
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'tcp', Listen => 1)
        or croak "listen: $@";
    listen $socket, 0;
    push @REFUSED, $socket;
    for (1 .. 4) {
        push @REFUSED, IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $socket->sockport,
            Proto => 'tcp', Blocking => 0);
    }
    sleep 0.02;
    return $socket->sockport;
}

sub flag {
    my ($self, $name, @value) = @_;
    my $path = "$self->{dir}/flag-$name";
    if (@value) {
        open my $f, '>', "$path.new" or croak "$path: $!";
        print {$f} $value[0];
        close $f;
        rename "$path.new", $path or croak "$path: $!";
    }
    open my $f, '<', $path or return '';
    my $value = <$f>;
    return defined $value ? $value : '';
}

# ---- what it saw ------------------------------------------------------------

# All complete requests so far, in order; given a count it waits for that many.
sub requests {
    my ($self, $count, $timeout) = @_;
    $self->_wait($timeout, sub { !$count || @{$self->{requests}} >= $count });
    return wantarray ? @{$self->{requests}} : $self->{requests};
}

sub request { my ($self, $n) = @_; $self->requests($n + 1)->[$n] }

# Connections: {n, opened, closed, closed_by (peer, mock), how (eof, reset, ...),
# sent, requests, tls => {sni, resumed, version}}; waits for the count of closes.
sub connections {
    my ($self, $closed, $timeout) = @_;
    $self->_wait($timeout, sub { !$closed || $closed <= grep { $_->{closed} } @{$self->{connections}} });
    return wantarray ? @{$self->{connections}} : $self->{connections};
}

# One connection, once it has been closed (or after the timeout as it is).
sub connection {
    my ($self, $n, $timeout) = @_;
    $self->_wait($timeout, sub { $self->{connections}[$n] && $self->{connections}[$n]{closed} });
    return $self->{connections}[$n];
}

# Connections that are still open; waits until there are no more than allowed.
sub open_connections {
    my ($self, $allowed, $timeout) = @_;
    my $open = sub { grep { !$_->{closed} } @{$self->{connections}} };
    $self->_wait($timeout, sub { $open->() <= ($allowed || 0) });
    return $open->();
}

# Forgets the requests so far, so that the next test counts from 0.
sub forget { my ($self) = @_; $self->_poll; $self->{requests} = []; return $self }

sub _wait {
    my ($self, $timeout, $done) = @_;
    my $deadline = time + (defined $timeout ? $timeout : 3);
    while (1) {
        $self->_poll;
        return 1 if $done->();
        return 0 if time >= $deadline || $self->{stopped};
        sleep 0.005;
    }
}

sub _poll {
    my ($self) = @_;
    open my $f, '<:raw', $self->{log} or return;
    flock $f, LOCK_SH;
    seek $f, $self->{read_at}, 0;
    while (read($f, my $size, 4) == 4) {
        $size = unpack 'N', $size;
        read($f, my $bytes, $size) == $size or last;
        my $r = Storable::thaw($bytes);
        my $kind = delete $r->{kind};
        if ($kind eq 'request') { push @{$self->{requests}}, bless $r, 'Relay::Mock::Request' }
        else {
            my $c = $self->{connections}[$r->{n}] ||= {};
            @$c{keys %$r} = values %$r;
        }
        $self->{read_at} = tell $f;
    }
}

sub _append {
    my ($path, $bytes) = @_;
    sysopen my $f, $path, O_RDWR | O_APPEND | O_CREAT, 0600 or croak "$path: $!";
    flock $f, LOCK_EX;
    my $at = 0;
    while ($at < length $bytes) { $at += syswrite $f, $bytes, length($bytes) - $at, $at }
}

sub _record {
    my ($self, $kind, %r) = @_;
    _append($self->{log}, pack 'N/a*', Storable::freeze({kind => $kind, %r}));
}

# Counters over all processes: returns the count before this one, for each name.
sub _count {
    my ($self, @names) = @_;
    sysopen my $f, "$self->{dir}/counts", O_RDWR | O_CREAT, 0600 or croak "counts: $!";
    flock $f, LOCK_EX;
    my $text = do { local $/; <$f> };
    my $counts = length($text || '') ? Storable::thaw($text) : {};
    my @before = map { $counts->{$_}++ || 0 } @names;
    seek $f, 0, 0;
    print {$f} Storable::freeze($counts);
    return @before;
}

# ---- serving ----------------------------------------------------------------

sub _serve {
    my ($self) = @_;
    $SIG{CHLD} = 'IGNORE';
    $SIG{PIPE} = 'IGNORE';
    $SIG{TERM} = $SIG{INT} = 'DEFAULT';
    my $select = IO::Select->new(@{$self->{sockets}});
    close_others(map { fileno $_ } @{$self->{sockets}});
    my $n = 0;
    while (1) {
        # if the test was killed, nothing of it may stay
        kill KILL => -$$ if getppid != $self->{owner};
        for my $listener ($select->can_read(1)) {
            my $socket = $listener->accept or next;
            my $number = $n++;
            my $opened = time;
            $self->_record(connection => n => $number, opened => $opened,
                address => $listener->sockhost, port => $listener->sockport);
            my $pid = fork;
            next if $pid;
            croak "fork: $!" unless defined $pid;
            close $_ for @{$self->{sockets}};
            eval { Relay::Mock::Connection->new($self, $socket, $number)->run; 1 }
                or print STDERR "mock: $@";
            POSIX::_exit(0);
        }
    }
}

# A socket of the test kept open here would hide that the test closed it.
sub close_others {
    my %keep = map { $_ => 1 } @_;
    open my $null, '+<', '/dev/null' or die "/dev/null: $!";
    # replaced, not closed: perl counts its handles by descriptor number
    for my $fd (map { m{(\d+)$} } glob '/proc/self/fd/*') {
        POSIX::dup2(fileno $null, $fd) if $fd > 2 && !$keep{$fd} && -e "/proc/self/fd/$fd";
    }
}

# What the script says to one request.
sub _answer {
    my ($self, $req) = @_;
    return $self->{on}->($req) if $self->{on};
    my @answers = @{$self->{answers} || [{body => {ok => JSON::PP::true()}}]};
    my $i = $req->{seq} < @answers ? $req->{seq} : $#answers;
    return ref $answers[$i] eq 'CODE' ? $answers[$i]->($req) : $answers[$i];
}

# The answer's {head, steps} from whatever was written.
sub compile {
    my ($answer) = @_;
    return {steps => [$answer]} unless ref $answer;
    return {steps => $answer} if ref $answer eq 'ARRAY';
    my %a = (status => 200, %$answer);
    my @delay = $a{delay_ms} ? ([sleep => $a{delay_ms}]) : ();
    my @end = $a{close} || exists $a{raw} && !$a{keep} ? ('close') : ();
    return {steps => [@delay, [send => $a{raw}], @{$a{steps} || []}, @end]} if defined $a{raw};
    my @headers = @{$a{headers} || []};
    my %given;
    for (my $i = 0; $i < @headers; $i += 2) { $given{lc $headers[$i]} = 1 }
    my $body = $a{body};
    $body = JSON::PP->new->canonical->utf8->encode($body) if ref $body;
    if ($a{gzip} && defined $body) { $body = gzip($body); push @headers, 'Content-Encoding', 'gzip' }
    unshift @headers, 'Content-Type', $a{type} || 'application/json' unless $given{'content-type'} || exists $a{type} && !defined $a{type};
    if ($a{chunked}) {
        require Relay::Client;
        $body = Relay::Client::chunked($body, ref $a{chunked} ? @{$a{chunked}} : length($body) || 1) if defined $body;
        push @headers, 'Transfer-Encoding', 'chunked' unless $given{'transfer-encoding'};
    }
    elsif (exists $a{length}) { push @headers, 'Content-Length', $a{length} if defined $a{length} }
    elsif (!$given{'content-length'} && (defined $body || !$a{steps})) {
        push @headers, 'Content-Length', length(defined $body ? $body : '');
    }
    push @headers, 'Connection', 'close' if $a{close};
    my $head = "HTTP/1.1 $a{status} " . ($a{reason} || 'Mock') . "\r\n";
    while (my ($name, $value) = splice @headers, 0, 2) { $head .= "$name: $value\r\n" }
    my $first = "$head\r\n" . (defined $body ? $body : '');
    return {steps => [@delay, [send => $first], @{$a{steps} || []}, @end]};
}

sub gzip {
    my ($bytes) = @_;
    require IO::Compress::Gzip;
    IO::Compress::Gzip::gzip(\$bytes, \my $out, -Minimal => 1) or die 'gzip failed';
    return $out;
}

# An event stream as an answer.
sub sse {
    my ($parts, %o) = @_;
    my @parts = ref $parts ? @$parts : ($parts);
    my $framing = $o{framing} || 'chunked';
    @parts = gzip(join '', @parts) if $o{gzip};
    if ($o{cut}) {
        my $text = join '', @parts;
        my $at = 0;
        @parts = ();
        for my $offset (@{$o{cut}}) {
            push @parts, substr $text, $at, $offset - $at if $offset > $at && $offset < length $text;
            $at = $offset if $offset > $at && $offset < length $text;
        }
        push @parts, substr $text, $at if $at < length $text;
    }
    my $gap = defined $o{gap_ms} ? $o{gap_ms} : $o{cut_ms};
    my $verb = $framing eq 'chunked' ? 'chunk' : 'send';
    my @steps = map { ([$verb => $_], $gap ? [sleep => $gap] : ()) } @parts;
    @steps = ([$verb => join '', @parts]) if !$gap && !$o{chunk_each} && !$o{cut};
    push @steps, [sleep => $o{after_ms}] if $o{after_ms};
    my $end = $o{end} || 'good';
    push @steps, $end ne 'good' ? $end : $framing eq 'chunked' ? [chunk => ''] : $framing eq 'close' ? 'close' : ();
    return {status => $o{status} || 200, type => $o{type} || 'text/event-stream', steps => \@steps,
        $o{delay_ms} ? (delay_ms => $o{delay_ms}) : (),
        headers => [@{$o{headers} || []}, $o{gzip} ? ('Content-Encoding' => 'gzip') : ()],
        $framing eq 'chunked' ? (chunked => 1) : $framing eq 'length' ? (length => length join '', @parts)
            : (length => undef)};
}

# ---- certificates -----------------------------------------------------------

my %made;

sub _openssl {
    my $out = qx{openssl @_ 2>&1};
    croak "openssl @_: $out" if $?;
}

sub _certificate_dir { $made{dir} ||= File::Temp->newdir('relay-cert-XXXXXX', TMPDIR => 1) }

# The authority of this run: {cert, key}.
sub ca {
    my $dir = _certificate_dir();
    $made{ca} ||= do {
        _openssl(qw(req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=Relay-test-CA),
            '-keyout', "$dir/ca.key", '-out', "$dir/ca.pem");
        {cert => "$dir/ca.pem", key => "$dir/ca.key"};
    };
}

# {cert, key} for names and addresses; self_signed, expired.
sub certificate {
    my ($class, %o) = @_;
    my @names = @{$o{names} || ['localhost', '127.0.0.1']};
    my $id = join ',', @names, $o{expired} ? 'expired' : (), $o{self_signed} ? 'self' : ();
    return $made{"leaf $id"} ||= do {
        my $dir = _certificate_dir();
        my $file = "$dir/leaf" . keys %made;
        my $alt = join ',', map { (/^[\d.]+$|:/ ? 'IP:' : 'DNS:') . $_ } @names;
        open my $f, '>', "$file.ext" or croak "$file.ext: $!";
        print {$f} "subjectAltName=$alt\n";
        close $f;
        my $ca = ca();
        _openssl(qw(req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes), '-subj', "/CN=mock",
            '-keyout', "$file.key", '-out', "$file.csr");
        my @sign = $o{self_signed} ? ('-signkey', "$file.key")
            : ('-CA', $ca->{cert}, '-CAkey', $ca->{key}, '-CAcreateserial');
        # a negative life: the certificate ended before it began
        _openssl('x509', '-req', '-in', "$file.csr", '-out', "$file.pem", '-extfile', "$file.ext",
            '-days', $o{expired} ? -1 : 30, @sign);
        {cert => "$file.pem", key => "$file.key"};
    };
}

# tls => 1, or {names, expired, self_signed, per_name => {name => {...}}, version}
sub _make_tls {
    my ($self) = @_;
    require IO::Socket::SSL;
    my %o = ref $self->{tls} ? %{$self->{tls}} : ();
    my $default = __PACKAGE__->certificate(%o);
    my (%cert, %key);
    ($cert{''}, $key{''}) = ($default->{cert}, $default->{key});
    for my $name (keys %{$o{per_name} || {}}) {
        my $leaf = __PACKAGE__->certificate(names => [$name], %{$o{per_name}{$name}});
        ($cert{$name}, $key{$name}) = ($leaf->{cert}, $leaf->{key});
    }
    my $several = keys %cert > 1;
    # made before the fork, so that all processes share the ticket keys
    $self->{tls_context} = IO::Socket::SSL::SSL_Context->new(SSL_server => 1,
        SSL_cert_file => $several ? \%cert : $cert{''}, SSL_key_file => $several ? \%key : $key{''},
        SSL_session_id_context => 'relay-mock',
        $o{version} ? (SSL_version => $o{version}) : ()) or croak 'TLS: ' . IO::Socket::SSL::errstr();
}


package Relay::Mock::Connection;

# One accepted connection, in a process of its own.

use strict;
use warnings;
use Errno qw(EAGAIN EINTR EWOULDBLOCK);
use Socket qw(IPPROTO_TCP TCP_NODELAY SOL_SOCKET SO_LINGER SO_SNDBUF);
use Time::HiRes qw(time);

sub new {
    my ($class, $mock, $socket, $n) = @_;
    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, pack 'i', 1;
    setsockopt $socket, SOL_SOCKET, SO_SNDBUF, pack 'i', $mock->{send_buffer} if $mock->{send_buffer};
    return bless {mock => $mock, socket => $socket, n => $n, in => '', sent => 0, nth => 0}, $class;
}

sub run {
    my ($self) = @_;
    my $mock = $self->{mock};
    my $early = $mock->{on_connect} ? $mock->{on_connect}->($self->{n}) : undef;
    $self->_steps($early) if defined $early;
    $self->_start_tls if $mock->{tls_context};
    $self->{socket}->blocking(0);
    while (my $req = $self->_read_request) {
        my $plan = Relay::Mock::compile($mock->_answer($req));
        $self->_steps(@{$plan->{steps}});
        return $self->end('mock', 'close') if lc($req->header('connection') || '') eq 'close';
    }
}

sub _start_tls {
    my ($self) = @_;
    my $tls = IO::Socket::SSL->start_SSL($self->{socket}, SSL_server => 1, Timeout => 5,
        SSL_reuse_ctx => $self->{mock}{tls_context});
    if (!$tls) { $self->end('peer', 'TLS: ' . IO::Socket::SSL::errstr()) }
    $self->{tls} = {sni => scalar $tls->get_servername, version => scalar $tls->get_sslversion,
        resumed => Net::SSLeay::session_reused($tls->_get_ssl_object) ? 1 : 0};
    $self->{mock}->_record(connection => n => $self->{n}, tls => $self->{tls});
}

# Records the close and leaves the process; does not return.
sub end {
    my ($self, $by, $how) = @_;
    my %r = (n => $self->{n}, closed => time, closed_by => $by, how => $how, sent => $self->{sent},
        requests => $self->{nth}, rest => $self->{in});
    if ($how eq 'reset' && $by eq 'mock') {
        setsockopt $self->{socket}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
    }
    $self->{mock}->_record(connection => %r);
    $self->{tls} ? $self->{socket}->close(SSL_no_shutdown => $how eq 'reset') : close $self->{socket};
    POSIX::_exit(0);
}

# Reads what is there, waiting up to the time: true if something came or the
# time is over. A peer that has gone ends everything.
sub _fill {
    my ($self, $seconds) = @_;
    my $socket = $self->{socket};
    my $deadline = defined $seconds ? time + $seconds : undef;
    while (1) {
        unless ($self->{tls} && $socket->pending) {
            my $left = defined $deadline ? $deadline - time : undef;
            $left = 0 if defined $left && $left < 0;
            if (!IO::Select->new($socket)->can_read($left)) {
                return 0 if defined $deadline && time >= $deadline;
                next;
            }
        }
        my $n = sysread $socket, $self->{in}, 65536, length $self->{in};
        return 1 if $n;
        next if !defined $n && ($! == EINTR || $! == EAGAIN || $! == EWOULDBLOCK);
        $self->end('peer', !defined $n && !($self->{tls} && $! == 0) ? "$!" : 'eof');
    }
}

sub _read_request {
    my ($self) = @_;
    my $idle = $self->{nth} ? $self->{mock}{idle_ms} : undef;
    until ($self->{in} =~ /\r\n\r\n/) {
        my $wait = defined $idle && !length $self->{in} ? $idle / 1000 : undef;
        $self->_fill($wait) or $self->end('mock', 'idle');
    }
    $self->{in} =~ s/\A(.*?)\r\n\r\n//s;
    my ($line, @lines) = split /\r\n/, $1;
    my %r = (conn => $self->{n}, nth => $self->{nth}++, tls => $self->{tls}, time => time,
        line => $line, raw_head => "$1\r\n\r\n");
    @r{qw(method path version)} = split / /, $line, 3;
    $r{headers} = [map { /^([^:]*):[ \t]*(.*?)[ \t]*$/s ? [$1, $2] : [$_, ''] } @lines];
    my $req = bless \%r, 'Relay::Mock::Request';
    my $length = $req->header('content-length');
    $r{body} = ($req->header('transfer-encoding') || '') =~ /chunked/i ? $self->_read_chunked
        : $self->_take($length || 0);
    my $key = $req->key;
    @r{qw(seq key_seq path_seq)} = $self->{mock}->_count('all', "key $key", "path $r{path}");
    $self->{mock}->_record(request => %r);
    $r{mock} = $self->{mock};
    return $req;
}

sub _take {
    my ($self, $n) = @_;
    $self->_fill while length $self->{in} < $n;
    return substr $self->{in}, 0, $n, '';
}

sub _read_chunked {
    my ($self) = @_;
    my $body = '';
    while (1) {
        $self->_fill until $self->{in} =~ /\r\n/;
        $self->{in} =~ s/\A([0-9a-f]+)[^\r\n]*\r\n//i or $self->end('mock', 'bad chunk');
        my $size = hex $1;
        last unless $size;
        $body .= $self->_take($size);
        $self->_take(2);
    }
    $self->_fill until $self->{in} =~ /\A(?:[^\r\n]+\r\n)*\r\n/;
    $self->{in} =~ s/\A(?:[^\r\n]+\r\n)*\r\n//;
    return $body;
}

# Sends bytes; the peer's going away ends everything.
sub put {
    my ($self, $bytes) = @_;
    my $at = 0;
    while ($at < length $bytes) {
        my $n = syswrite $self->{socket}, $bytes, length($bytes) - $at, $at;
        if (!defined $n) {
            $self->end('peer', "$!") unless $! == EINTR || $! == EAGAIN || $! == EWOULDBLOCK;
            $self->_wait_writable;
            next;
        }
        $at += $n;
        $self->{sent} += $n;
    }
    return $self;
}

# The peer reads slowly; it may also go away meanwhile.
sub _wait_writable {
    my ($self) = @_;
    my $select = IO::Select->new($self->{socket});
    my ($read, $write) = IO::Select->select($select, $select, undef, 30);
    $self->_fill(0) if $read && @$read;
}

sub chunk {
    my ($self, $bytes) = @_;
    return $self->put(length $bytes ? sprintf("%x\r\n", length $bytes) . "$bytes\r\n" : "0\r\n\r\n");
}

# Sleeps, but notices at once when the peer leaves.
sub pause {
    my ($self, $ms) = @_;
    my $until = time + $ms / 1000;
    while ((my $left = $until - time) > 0) { $self->_fill($left) }
    return $self;
}

sub _steps {
    my ($self, @steps) = @_;
    for my $step (@steps) {
        my ($verb, @with) = ref $step ? @$step : ($step);
        if ($verb eq 'send') { $self->put($with[0]) }
        elsif ($verb eq 'chunk') { $self->chunk($with[0]) }
        elsif ($verb eq 'sleep') { $self->pause($with[0]) }
        elsif ($verb eq 'cut') { $self->_cut(@with) }
        elsif ($verb eq 'code') { $with[0]->($self) }
        elsif ($verb eq 'reset' || $verb eq 'close') { $self->end('mock', $verb) }
        elsif ($verb eq 'hang') { while (1) { $self->_fill } }
        else { die "no such step: $verb" }
    }
}

sub _cut {
    my ($self, $bytes, $offsets, $ms) = @_;
    my $at = 0;
    for my $offset (@$offsets, length $bytes) {
        next if $offset <= $at;
        $self->put(substr $bytes, $at, $offset - $at);
        $self->pause($ms || 1) if $offset < length $bytes;
        $at = $offset;
    }
}


package Relay::Mock::Request;

use strict;
use warnings;

sub method { $_[0]{method} }
sub path { $_[0]{path} }
sub body { $_[0]{body} }
sub headers { $_[0]{headers} }
sub conn { $_[0]{conn} }
sub flag { my ($self, $name) = @_; $self->{mock}->flag($name) }

sub header {
    my ($self, $name) = @_;
    my @all = map { $_->[1] } grep { lc $_->[0] eq lc $name } @{$self->{headers}};
    return wantarray ? @all : $all[0];
}

# The provider key that came, in either style.
sub key {
    my ($self) = @_;
    my ($bearer) = ($self->header('authorization') || '') =~ /^Bearer (.*)/;
    return defined $bearer ? $bearer : $self->header('x-api-key') || '';
}

sub json {
    my ($self) = @_;
    my $value = eval { JSON::PP->new->utf8->decode($self->{body}) };
    return defined $value ? $value : {not_json => $self->{body}};
}

1;
