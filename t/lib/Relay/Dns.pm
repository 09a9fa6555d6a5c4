package Relay::Dns;

# A name server for the tests: UDP on a free port of 127.0.0.1, A and AAAA
# records that may change at any time, delays, error codes, silence.

=head1 SYNOPSIS

    my $dns = Relay::Dns->new(names => {'api.test' => {A => ['127.0.0.1'], ttl => 1}});
    # nginx: resolver 127.0.0.1:PORT with $dns->port
    $dns->set('api.test', A => ['127.0.0.2'], ttl => 1);
    $dns->set('api.test', rcode => 3);      # 2 SERVFAIL, 3 NXDOMAIN
    $dns->set('api.test', silent => 1);     # no answer at all; delay_ms => n
    $dns->queries('api.test');              # how often it was asked (A only)

Names that were not set do not exist (NXDOMAIN).

=cut

use strict;
use warnings;
use Carp qw(croak);
use Fcntl qw(:flock);
use File::Temp ();
use IO::Socket::INET;
use POSIX ();
use Socket qw(inet_aton inet_pton AF_INET6);
use Storable ();
use Time::HiRes qw(sleep);

sub new {
    my ($class, %o) = @_;
    my $self = bless {names => {}, owner => $$,
        dir => File::Temp->newdir('relay-dns-XXXXXX', TMPDIR => 1)}, $class;
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'udp') or croak "bind: $@";
    $self->{port} = $socket->sockport;
    $self->{names} = $o{names} || {};
    $self->_publish;
    my $pid = fork;
    croak "fork: $!" unless defined $pid;
    if (!$pid) {
        eval { $self->_serve($socket) };
        POSIX::_exit(0);
    }
    $self->{pid} = $pid;
    return $self;
}

sub port { $_[0]{port} }

sub set {
    my ($self, $name, %record) = @_;
    $self->{names}{$name} = \%record;
    $self->_publish;
}

sub queries {
    my ($self, $name) = @_;
    open my $f, '<', "$self->{dir}/queries" or return 0;
    return scalar grep { $_ eq "$name 1\n" } <$f>;
}

sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    return if $self->{owner} != $$;
    kill KILL => $pid;
    waitpid $pid, 0;
}

sub DESTROY { local ($@, $!, $?); $_[0]->stop }

sub _publish {
    my ($self) = @_;
    Storable::store($self->{names}, "$self->{dir}/names.new");
    rename "$self->{dir}/names.new", "$self->{dir}/names" or croak "names: $!";
}

sub _serve {
    my ($self, $socket) = @_;
    require Relay::Mock;
    Relay::Mock::close_others(fileno $socket);
    while (defined(my $peer = $socket->recv(my $query, 1500))) {
        my ($id, $labels) = (substr($query, 0, 2), substr $query, 12);
        my @name;
        while ((my $n = ord substr $labels, 0, 1, '') > 0) { push @name, lc substr $labels, 0, $n, '' }
        my $type = unpack 'n', $labels;
        my $name = join '.', @name;
        my $question = substr $query, 12, length($query) - 12 - length($labels) + 4;
        open my $f, '>>', "$self->{dir}/queries" or die;
        print {$f} "$name $type\n";
        close $f;
        my $record = Storable::retrieve("$self->{dir}/names")->{$name} || {rcode => 3};
        next if $record->{silent};
        sleep $record->{delay_ms} / 1000 if $record->{delay_ms};
        $socket->send($id . _reply($record, $type, $question), 0, $peer);
    }
}

sub _reply {
    my ($record, $type, $question) = @_;
    my @data = $type == 1 ? map { inet_aton($_) } @{$record->{A} || []}
        : $type == 28 ? map { inet_pton(AF_INET6, $_) } @{$record->{AAAA} || []} : ();
    my $ttl = defined $record->{ttl} ? $record->{ttl} : 60;
    return pack('n5', 0x8180 | ($record->{rcode} || 0), 1, scalar @data, 0, 0) . $question
        . join '', map { pack('n3 N n/a*', 0xc00c, $type, 1, $ttl, $_) } @data;
}

1;
