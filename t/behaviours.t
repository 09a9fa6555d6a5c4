#!/usr/bin/perl
#
# Every behaviour of t/behaviours.list is named by a test in each of its files, so
# that a test that is removed is missed: in t/*.t by a name that begins with the
# id ("F7 chat: ..."), in t/unit by a registered test that does (f7_...). And no
# id is tested that the list does not have.

use strict;
use warnings;

use Test::More;

sub slurp {
    my ($path) = @_;
    open my $f, '<', $path or return undef;
    local $/;
    return scalar <$f>;
}

# The ids that tests of a file are named after.
sub named {
    my ($path) = @_;
    my $text = slurp($path);
    return unless defined $text;
    my %ids;
    if ($path =~ /\.c$/) {
        for my $name ($text =~ /cmocka_unit_test\(\s*(\w+)\s*\)/g) {
            $ids{uc $1} = 1 while $name =~ s/^([fsr]\d+)_//;
        }
    }
    else {
        $text =~ s/^\s*#.*$//mg;
        $ids{$_} = 1 for $text =~ /["']([FSR]\d+)[ ,:]/g;
    }
    return \%ids;
}

my (%list, %seen);
for my $line (split /\n/, slurp('t/behaviours.list')) {
    next if $line =~ /^(?:#|$)/;
    my ($id, @files) = split / /, $line;
    ok !$list{$id}++, "$id is listed once";
    ok scalar(@files), "$id has a file";
    for my $file (@files) {
        my $ids = $seen{$file} ||= named("t/$file") || {};
        ok $ids->{$id}, "$id has a test in t/$file";
    }
}

cmp_ok scalar(grep { /^F/ } keys %list), '==', 16, 'all of F';
cmp_ok scalar(grep { /^S/ } keys %list), '==', 23, 'all of S';
cmp_ok scalar(grep { /^R/ } keys %list), '==', 23, 'all of R';

my %unlisted;
for my $path (glob('t/*.t'), glob('t/unit/*.c')) {
    $unlisted{"$_ in $path"} = 1 for grep { !$list{$_} } keys %{named($path) || {}};
}
is join(', ', sort keys %unlisted), '', 'no id is tested that is not listed';

done_testing;
