package Relay::Planted;

# Secrets that a test has planted, and places where none of them may be found: in
# plain, in base64 at any offset, or in hexadecimal.

=head1 SYNOPSIS

    my $planted = Relay::Planted->new(api => 'sk-...', master => $ring);
    my @found = $planted->in($bytes, 'api');      # names of forms; all secrets without names
    my @found = $planted->in_file($path);
    my @found = $planted->in_memory($pid);        # what a core file of it would have

=cut

use strict;
use warnings;
use MIME::Base64 qw(decode_base64url encode_base64 encode_base64url);


# A ring (`id base64`) counts as its key, as text and as bytes.
sub new {
    my ($class, %secrets) = @_;
    my $self = bless {}, $class;
    $self->add($_, $secrets{$_}) for keys %secrets;
    return $self;
}

sub add {
    my ($self, $name, $secret) = @_;
    die "$name is too short to be looked for\n" if length $secret < 12;
    my %form = forms($secret);
    if ($secret =~ /^[\w-]{43}$/) {
        my $bytes = decode_base64url($secret);
        %form = (%form, bytes => $bytes, 'hexadecimal of its bytes' => unpack 'H*', $bytes);
    }
    $form{'secret part'} = $1 if $secret =~ /^rly_.{8}(.{32})/;
    $self->{$name} = \%form;
}

sub names { sort keys %{$_[0]} }

sub forms {
    my ($secret) = @_;
    my %form = (plain => $secret, hexadecimal => unpack('H*', $secret), HEXADECIMAL => uc unpack('H*', $secret));
    # Characters at the ends depend on what stands beside it.
    for my $offset (0 .. 2) {
        for my $encode (\&encode_base64url, sub { encode_base64($_[0], '') =~ s/=+$//r }) {
            my $text = $encode->(('x' x $offset) . $secret);
            my $inner = substr $text, $offset ? 4 : 0;
            $form{"base64 at $offset"} = substr $inner, 0, length($inner) - 2 if $encode == \&encode_base64url;
            $form{"base64+/ at $offset"} = substr $inner, 0, length($inner) - 2;
        }
    }
    return %form;
}

sub in {
    my ($self, $bytes, @names) = @_;
    my @found;
    for my $name (@names ? @names : $self->names) {
        push @found, map { "$name ($_)" } grep { index($bytes, $self->{$name}{$_}) >= 0 } sort keys %{$self->{$name}};
    }
    return @found;
}

sub in_file {
    my ($self, $path, @names) = @_;
    open my $fh, '<:raw', $path or return;
    return $self->in_handle($fh, -s $fh, @names);
}

# In pieces that overlap.
sub in_handle {
    my ($self, $fh, $size, @names) = @_;
    my ($before, %found) = ('');
    while ($size > 0) {
        my $got = sysread $fh, my $piece, $size < 4 << 20 ? $size : 4 << 20;
        last if !$got;
        $size -= $got;
        $found{$_} = 1 for $self->in($before . $piece, @names);
        $before = substr $piece, -1024;
    }
    return sort keys %found;
}

# Regions that a core file leaves out are left out; the process is stopped meanwhile.
sub in_memory {
    my ($self, $pid, @names) = @_;
    my %found;
    kill STOP => $pid;
    open my $memory, '<:raw', "/proc/$pid/mem" or die "/proc/$pid/mem: $!\n";
    my $seen = 0;
    for my $region (regions($pid)) {
        sysseek $memory, $region->{from}, 0 or next;
        $seen += $region->{size};
        $found{$_} = 1 for $self->in_handle($memory, $region->{size}, @names);
    }
    kill CONT => $pid;
    die "nothing of process $pid could be read\n" if !$seen;
    return sort keys %found;
}

sub regions {
    my ($pid) = @_;
    my (@regions, $region);
    open my $smaps, '<', "/proc/$pid/smaps" or die "/proc/$pid/smaps: $!\n";
    while (my $line = <$smaps>) {
        if ($line =~ /^([0-9a-f]+)-([0-9a-f]+) (\S+)/) {
            no warnings 'portable';
            $region = {from => hex $1, size => hex($2) - hex($1), readable => scalar($3 =~ /^r/)};
        } elsif ($line =~ /^Rss: +(\d+)/) {
            $region->{used} = $1;
        } elsif ($line =~ /^VmFlags:(.*)/) {
            push @regions, $region if $region->{readable} && $region->{used} && $1 !~ /\b(?:dd|io|pf)\b/;
        }
    }
    return @regions;
}

1;
