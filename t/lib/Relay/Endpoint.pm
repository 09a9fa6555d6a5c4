package Relay::Endpoint;

# A small HTTP or HTTPS server for what relayd calls: Vault, token endpoints. It
# keeps its port while it is stopped, so that it can be away and come back.

=head1 SYNOPSIS

    my $vault = Relay::Endpoint->new(tls => {names => ['localhost']}, answer => sub {
        my ($request) = @_;              # {method, path, headers => {lower case}, body}
        return (200, 'the body');        # runs in the server's process
    });
    $vault->url;                         # https://localhost:PORT
    $vault->state('anything');           # answer's second argument; the third is the endpoint
    $vault->requests;                    # how many there were
    $vault->stop; $vault->start;

=cut

use strict;
use warnings;
use Carp qw(croak);
use File::Temp ();
use IO::Socket::INET;
use IO::Socket::SSL;
use POSIX ();
use Relay::Mock;

my @instances;

sub new {
    my ($class, %o) = @_;
    my $self = bless {%o, owner => $$, dir => File::Temp->newdir('endpoint-XXXXXX', TMPDIR => 1)}, $class;
    my $probe = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1) or croak "listen: $!";
    $self->{port} = $probe->sockport;
    close $probe;
    $self->{name} = $o{tls} ? ($o{tls}{names} || ['localhost'])->[0] : '127.0.0.1';
    $self->{certificate} = Relay::Mock->certificate(%{$o{tls}}) if $o{tls};
    $self->state('');
    push @instances, $self;
    return $self->start;
}

sub url { sprintf '%s://%s:%d', $_[0]{tls} ? 'https' : 'http', $_[0]{name}, $_[0]{port} }

sub write_file {
    my ($self, $name, $text) = @_;
    open my $file, '>:raw', "$self->{dir}/$name.new" or croak "$name: $!";
    print $file $text;
    close $file or croak "$name: $!";
    rename "$self->{dir}/$name.new", "$self->{dir}/$name" or croak "$name: $!";
}

sub slurp {
    open my $file, '<:raw', $_[0] or return '';
    local $/;
    return scalar(<$file>) // '';
}

sub state { $_[0]->write_file(state => $_[1]) }
sub requests { -s "$_[0]{dir}/requests" || 0 }

sub start {
    my ($self) = @_;
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $self->{port}, Listen => 16,
        ReuseAddr => 1) or croak "listen: $!";
    $self->{pid} = fork // croak "fork: $!";
    return $self if $self->{pid};
    $SIG{TERM} = 'DEFAULT';
    $self->serve($listener);
    POSIX::_exit(0);
}

sub serve {
    my ($self, $listener) = @_;
    while (my $client = $listener->accept) {
        if ($self->{tls}) {
            IO::Socket::SSL->start_SSL($client, SSL_server => 1, SSL_cert_file => $self->{certificate}{cert},
                SSL_key_file => $self->{certificate}{key}) or next;
        }
        my $request = read_request($client) or next;
        open my $count, '>>', "$self->{dir}/requests";
        print $count '.';
        close $count;
        my ($status, $body, @headers) = eval { $self->{answer}->($request, slurp("$self->{dir}/state"), $self) };
        ($status, $body) = (500, "the test: $@") if !defined $status;
        print $client "HTTP/1.1 $status X\r\nContent-Length: " . length($body) . "\r\nConnection: close\r\n"
            . join('', map { "$_\r\n" } @headers) . "\r\n$body";
        close $client;
    }
}

sub read_request {
    my ($client) = @_;
    my $line = <$client> // return;
    my ($method, $path) = split / /, $line;
    my %request = (method => $method, path => $path, headers => {}, body => '');
    while (defined(my $header = <$client>)) {
        $header =~ /^([^:\r\n]+):\s*(.*?)\r\n$/ or last;
        $request{headers}{lc $1} = $2;
    }
    my $left = $request{headers}{'content-length'} || 0;
    while (length $request{body} < $left) {
        read $client, $request{body}, $left - length $request{body}, length $request{body} or return;
    }
    return \%request;
}

sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    kill KILL => $pid;
    waitpid $pid, 0;
}

END {
    my $status = $?;
    $_->stop for grep { $_->{owner} == $$ } @instances;
    $? = $status;
}

1;
