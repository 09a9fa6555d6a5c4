package Relay::Steps;

# How long the loops of nginx's workers are at work between two waits, in processor
# time, by t/scale_probe.c in front of libc.

=head1 SYNOPSIS

    my $steps = Relay::Steps->new($dir) or ...;      # undef: cannot be measured here
    $ENV{RELAY_NGINX} = $steps->nginx;               # a program to start instead
    my ($steps, $over_1_ms, $over_2_ms, $most_ms) = $steps->take;    # since the last call

=cut

use strict;
use warnings;

# An instrumented nginx has its own idea of what is loaded first, and of time.
sub new {
    my ($class, $dir) = @_;
    return if $ENV{RELAY_NGINX}
        || system('cc', '-O2', '-shared', '-fPIC', '-o', "$dir/probe.so", 't/scale_probe.c', '-ldl') != 0;
    my $self = bless {nginx => "$dir/nginx-with-probe", file => "$dir/steps"}, $class;
    _write($self->{file}, "\0" x 4096);
    _write($self->{nginx}, "#!/bin/sh\nPATH=\$PATH:/usr/sbin\n"
        . "LD_PRELOAD='$dir/probe.so' RELAY_PROBE_FILE='$self->{file}' exec nginx \"\$\@\"\n");
    chmod 0755, $self->{nginx};
    return $self;
}

sub nginx { $_[0]{nginx} }

# (steps, over 1 ms, over 2 ms, most in ms) of all workers since the last call.
sub take {
    my ($self) = @_;
    open my $file, '+<:raw', $self->{file} or die "$self->{file}: $!";
    sysread $file, my $bytes, 4096;
    my @sum = (0) x 4;
    for my $slot (0 .. unpack('Q', $bytes) - 1) {
        my (undef, @of) = unpack 'Q5', substr $bytes, 8 + 40 * $slot, 40;
        $sum[$_] += $of[$_] for 0 .. 2;
        $sum[3] = $of[3] / 1e6 if $of[3] / 1e6 > $sum[3];
        sysseek $file, 16 + 40 * $slot, 0;
        syswrite $file, "\0" x 32;
    }
    return @sum;
}

sub _write {
    my ($path, $bytes) = @_;
    open my $file, '>:raw', $path or die "$path: $!";
    print {$file} $bytes;
    close $file or die "$path: $!";
}

1;
