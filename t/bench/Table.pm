package Table;

# The figures of the benchmark as a table. Used by `run` beside this file.

use strict;
use warnings;

# Ratios are to plain nginx; what is added, to a direct connection.
sub text {
    my ($figures, $targets, $relays, $title) = @_;
    my $format = "%-45s %-4s" . ' %11s' x @$targets . ' %8s %8s %8s %8s  %s' . "\n";
    my $text = sprintf $format, ('') x (2 + @$targets), 'module', 'box', 'module', 'box', '';

    $text .= sprintf $format, '', '', @$title{@$targets}, ('x plain') x 2, ('+ direct') x 2,
        'bars: module, box';

    for my $f (@$figures) {
        $text .= sprintf $format, $f->{label}, $f->{unit},
            (map { number($f->{value}{$_}, $f->{digits}) } @$targets),
            (map { number($f->{ratio}{$_}, 2) } @$relays),
            (map { number($f->{added}{$_}, 0) } @$relays), bars_of($f, @$relays);
    }
    return $text =~ s/ +$//gmr;
}

sub thousands {
    my ($text) = @_;
    1 while $text =~ s/^(-?\d+)(\d{3})/$1,$2/;
    return $text;
}

sub number {
    my ($value, $digits) = @_;
    return defined $value ? thousands(sprintf "%.${digits}f", $value) : '-';
}

# One text if both have the same bar.
sub bars_of {
    my ($figure, @relays) = @_;
    my @bars  = map { $_ // () } @{ $figure->{bar} || {} }{@relays};
    my %texts = map { $_->{text} => 1 } @bars;
    my $ends  = join ' ', map { $_->{ok} ? 'ok' : 'missed' } @bars;
    return sprintf '%-13s %s', $ends, join ', ', map { $_->{text} } keys %texts == 1 ? $bars[0] : @bars;
}

1;
